// Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

#include <include/structure_recovery.h>

#ifdef WITH_RECOVERY
#include <include/recovery/writers.h>
#endif

namespace PaddleOCR {

#ifdef WITH_RECOVERY

struct StructureRecovery::Pages {
  std::vector<recovery::Page> list;
};

namespace {

// The crop as PNG. Boxes may leave the page: what is on it counts.
std::vector<unsigned char> encoded_crop(const cv::Mat &img,
                                        const recovery::Box &box) {
  const cv::Rect page(0, 0, img.cols, img.rows);
  const cv::Rect area = cv::Rect(cv::Point((int)box.x1, (int)box.y1),
                                 cv::Point((int)box.x2, (int)box.y2)) &
                        page;
  std::vector<unsigned char> bytes;
  if (area.area() > 0)
    cv::imencode(".png", img(area), bytes);
  return bytes;
}

recovery::Region to_region(const cv::Mat &img,
                           const StructurePredictResult &result) {
  recovery::Region region;
  region.type = result.type;
  if (result.box.size() >= 4)
    region.box = recovery::Box(result.box[0], result.box[1], result.box[2],
                               result.box[3]);
  region.html = result.html;
  // OCR ran on the crop: its boxes begin at the corner of the region
  const float x = (int)region.box.x1, y = (int)region.box.y1;
  for (const OCRPredictResult &found : result.text_res) {
    recovery::TextLine line;
    line.text = found.text;
    line.score = found.score;
    for (const std::vector<int> &point : found.box)
      if (point.size() == 2)
        line.quad.push_back(recovery::Point(x + point[0], y + point[1]));
    region.lines.push_back(line);
  }
  const bool text = !region.lines.empty() && result.type != "figure" &&
                    result.type != "equation";
  if (!text)
    region.image = encoded_crop(img, region.box);
  return region;
}

// The layout model drops overlapping boxes of one class only. Of two classes
// for one region the surer one counts, or its text would appear twice.
bool seen_twice(const std::vector<StructurePredictResult> &results, size_t i) {
  std::vector<float> box = results[i].box;
  for (size_t j = 0; j < results.size(); ++j) {
    std::vector<float> other = results[j].box;
    const bool surer =
        results[j].confidence > results[i].confidence ||
        (results[j].confidence == results[i].confidence && j < i);
    if (surer && Utility::iou(box, other) > 0.8f)
      return true;
  }
  return false;
}

} // namespace

void StructureRecovery::AddPage(
    const cv::Mat &img, const std::vector<StructurePredictResult> &results) {
  recovery::Page page;
  page.index = (int)pages_->list.size();
  page.width = (float)img.cols;
  page.height = (float)img.rows;
  for (size_t i = 0; i < results.size(); ++i)
    if (!seen_twice(results, i))
      page.regions.push_back(to_region(img, results[i]));
  pages_->list.push_back(page);
}

bool StructureRecovery::Write(const std::string &output,
                              const std::string &name) {
  std::vector<recovery::Page> pages;
  pages.swap(pages_->list);
  const std::string stem = output + "/" + name + "_ocr";
  try {
    const recovery::Document document = recovery::build_document(pages);
    for (const std::string &warning : document.warnings)
      std::cerr << "[WARNING] " << name << ": " << warning << std::endl;
    recovery::write_docx(document, stem + ".docx");
    std::cout << "docx save to " << stem << ".docx" << std::endl;
    if (recovery::write_xlsx(document, stem + ".xlsx") > 0)
      std::cout << "xlsx save to " << stem << ".xlsx" << std::endl;
  } catch (const recovery::RecoveryError &error) {
    std::cerr << "[ERROR] " << name << ": " << error.what() << std::endl;
    return false;
  }
  return true;
}

#else

struct StructureRecovery::Pages {};

void StructureRecovery::AddPage(const cv::Mat &,
                                const std::vector<StructurePredictResult> &) {}

bool StructureRecovery::Write(const std::string &, const std::string &) {
  std::cerr << "[ERROR] --recovery needs a build with -DWITH_RECOVERY=ON"
            << std::endl;
  return false;
}

#endif

StructureRecovery::StructureRecovery() : pages_(new Pages()) {}
StructureRecovery::~StructureRecovery() = default;

} // namespace PaddleOCR

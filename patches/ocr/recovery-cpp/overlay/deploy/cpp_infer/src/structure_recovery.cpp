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

#include <include/args.h>
#include <include/structure_recovery.h>

#include <algorithm>
#include <map>
#include <set>

#ifdef WITH_RECOVERY
#include <include/recovery/writers.h>
#endif

namespace PaddleOCR {

// A gap of this share of the height of the letters is a blank.
static const float kBlank = 0.22f;

#ifdef WITH_RECOVERY

struct StructureRecovery::Pages {
  std::vector<recovery::Page> list;
};

namespace {

// The crop, as JPEG when it is a photograph, which PNG makes much larger.
// Boxes may leave the page: what is on it counts.
std::vector<unsigned char> encoded_crop(const cv::Mat &img,
                                        const recovery::Box &box) {
  const cv::Rect page(0, 0, img.cols, img.rows);
  const cv::Rect area = cv::Rect(cv::Point((int)box.x1, (int)box.y1),
                                 cv::Point((int)box.x2, (int)box.y2)) &
                        page;
  std::vector<unsigned char> png, jpeg;
  if (area.area() == 0)
    return png;
  cv::imencode(".png", img(area), png);
  cv::imencode(".jpg", img(area), jpeg, {cv::IMWRITE_JPEG_QUALITY, 90});
  return jpeg.size() < png.size() / 3 ? jpeg : png;
}

recovery::Region to_region(const cv::Mat &img,
                           const StructurePredictResult &result) {
  recovery::Region region;
  region.type = result.type;
  region.score = result.confidence;
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
  for (std::vector<int> cell : result.cell_box) {
    if (cell.size() == 8)
      cell = Utility::xyxyxyxy2xyxy(cell);
    if (cell.size() == 4)
      region.cells.push_back(
          recovery::Box(x + cell[0], y + cell[1], x + cell[2], y + cell[3]));
  }
  const bool text = !region.lines.empty() && result.type != "figure" &&
                    result.type != "equation" &&
                    (result.type != "table" || result.html.empty());
  if (!text)
    region.image = encoded_crop(img, region.box);
  return region;
}

} // namespace

void StructureRecovery::AddPage(
    const cv::Mat &img, const std::vector<StructurePredictResult> &results) {
  recovery::Page page;
  page.index = (int)pages_->list.size();
  page.width = (float)img.cols;
  page.height = (float)img.rows;
  for (const StructurePredictResult &result : results)
    page.regions.push_back(to_region(img, result));
  pages_->list.push_back(page);
}

bool StructureRecovery::Write(const std::string &output,
                              const std::string &name) {
  std::vector<recovery::Page> pages;
  pages.swap(pages_->list);
  const std::string stem = output + "/" + name + "_ocr";
  try {
    recovery::BuildOptions options;
    options.font = FLAGS_recovery_font;
    options.east_asian_font = FLAGS_recovery_east_asian_font;
    const recovery::Document document =
        recovery::build_document(pages, options);
    std::vector<std::string> losses = document.losses;
    for (const std::string &warning : document.warnings)
      std::cerr << "[WARNING] " << name << ": " << warning << std::endl;
    recovery::write_docx(document, stem + ".docx");
    std::cout << "docx save to " << stem << ".docx" << std::endl;
    if (recovery::write_xlsx(document, stem + ".xlsx", &losses) > 0)
      std::cout << "xlsx save to " << stem << ".xlsx" << std::endl;
    for (const std::string &loss : losses)
      std::cerr << "[LOST] " << name << ": " << loss << std::endl;
    return losses.empty();
  } catch (const recovery::RecoveryError &error) {
    std::cerr << "[ERROR] " << name << ": " << error.what() << std::endl;
    return false;
  }
}

bool StructureRecovery::Built() { return true; }

#else

struct StructureRecovery::Pages {};

bool StructureRecovery::Built() { return false; }

void StructureRecovery::AddPage(const cv::Mat &,
                                const std::vector<StructurePredictResult> &) {}

bool StructureRecovery::Write(const std::string &, const std::string &) {
  return false;
}

#endif

std::vector<std::string>
StructureRecovery::Names(const std::vector<cv::String> &images) {
  std::vector<std::string> names;
  std::map<std::string, int> count; // of names without their extension
  for (const cv::String &image : images) {
    const std::string name = Utility::basename(image);
    names.push_back(name);
    ++count[name.substr(0, name.find_last_of('.'))];
  }
  std::set<std::string> used;
  for (std::string &name : names) {
    const size_t dot = name.find_last_of('.');
    const std::string stem = name.substr(0, dot);
    if (count[stem] == 1)
      name = stem;
    else if (dot != std::string::npos)
      name[dot] = '_';
    while (!used.insert(name).second)
      name += "_2";
  }
  return names;
}

std::vector<OCRPredictResult>
StructureRecovery::Outside(const std::vector<OCRPredictResult> &lines,
                           const std::vector<StructurePredictResult> &regions) {
  std::vector<OCRPredictResult> found;
  for (OCRPredictResult line : lines) {
    const std::vector<int> box = Utility::xyxyxyxy2xyxy(line.box);
    const cv::Rect area(cv::Point(box[0], box[1]), cv::Point(box[2], box[3]));
    bool read = area.area() == 0;
    for (const StructurePredictResult &region : regions) {
      const cv::Rect other(cv::Point((int)region.box[0], (int)region.box[1]),
                           cv::Point((int)region.box[2], (int)region.box[3]));
      read = read || 2 * (area & other).area() >= area.area();
    }
    if (!read)
      found.push_back(line);
  }
  return found;
}

void StructureRecovery::AddOutside(
    const std::vector<OCRPredictResult> &lines,
    std::vector<StructurePredictResult> &regions) {
  const size_t first = regions.size();
  std::vector<OCRPredictResult> sorted;
  for (const OCRPredictResult &line : lines)
    if (!line.text.empty() && line.score >= 0.5f) // else it is no text
      sorted.push_back(line);
  std::sort(sorted.begin(), sorted.end(),
            [](const OCRPredictResult &a, const OCRPredictResult &b) {
              return a.box[0][1] < b.box[0][1];
            });
  for (OCRPredictResult line : sorted) {
    const std::vector<int> box = Utility::xyxyxyxy2xyxy(line.box);
    const float high = box[3] - box[1];
    StructurePredictResult *below = nullptr; // the paragraph that it goes on
    for (size_t i = first; i < regions.size(); ++i) {
      const std::vector<float> &other = regions[i].box;
      const float common =
          std::min<float>(other[2], box[2]) - std::max<float>(other[0], box[0]);
      if (box[1] - other[3] < high && box[3] > other[3] &&
          common > 0.5f * std::min<float>(other[2] - other[0], box[2] - box[0]))
        below = &regions[i];
    }
    if (!below) {
      StructurePredictResult made;
      made.type = "text";
      made.box = {(float)box[0], (float)box[1], (float)box[2], (float)box[3]};
      made.confidence = 0; // a region of the layout model is surer
      regions.push_back(made);
      below = &regions.back();
    }
    below->box = {std::min<float>(below->box[0], box[0]),
                  std::min<float>(below->box[1], box[1]),
                  std::max<float>(below->box[2], box[2]),
                  std::max<float>(below->box[3], box[3])};
    below->text_res.push_back(line);
  }
  for (size_t i = first; i < regions.size(); ++i) // as of a crop
    for (OCRPredictResult &line : regions[i].text_res)
      for (std::vector<int> &point : line.box) {
        point[0] -= (int)regions[i].box[0];
        point[1] -= (int)regions[i].box[1];
      }
}

std::string
StructureRecovery::WithBlanks(const cv::Mat &line,
                              const std::vector<std::string> &characters,
                              const std::vector<float> &places) {
  cv::Mat grey, ink, columns, rows;
  cv::cvtColor(line, grey, cv::COLOR_BGR2GRAY);
  cv::threshold(grey, ink, 0, 1, cv::THRESH_BINARY_INV | cv::THRESH_OTSU);
  if (2 * cv::countNonZero(ink) > ink.rows * ink.cols)
    ink = 1 - ink; // light letters
  cv::reduce(ink, columns, 0, cv::REDUCE_SUM, CV_32S);
  cv::reduce(ink, rows, 1, cv::REDUCE_SUM, CV_32S);
  int top = 0, bottom = line.rows; // of the ink
  while (top < bottom && rows.at<int>(top) < 2)
    ++top;
  while (bottom > top && rows.at<int>(bottom - 1) < 2)
    --bottom;
  // the widest gap before each character; 0 where no blank may stand
  const auto plain = [](const std::string &c) {
    return c.size() == 1 && c[0] > ' ';
  };
  const auto number = [](const std::string &c) {
    return c.find_first_not_of("0123456789.,:%-/") == std::string::npos;
  };
  std::vector<int> gaps(characters.size(), 0), found;
  for (size_t i = 1; i < characters.size(); ++i) {
    if (!plain(characters[i - 1]) || !plain(characters[i]) ||
        (number(characters[i - 1]) && number(characters[i])))
      continue;
    const int from = std::max(0, (int)places[i - 1]);
    const int to = std::min(columns.cols - 1, (int)places[i]);
    int gap = 0;
    for (int x = from; x <= to; ++x) {
      gap = columns.at<int>(x) == 0 ? gap + 1 : 0;
      gaps[i] = std::max(gaps[i], gap);
    }
    found.push_back(gaps[i]);
  }
  std::sort(found.begin(), found.end()); // most are between letters of a word
  const float usual = found.empty() ? 0 : found[found.size() / 2];
  std::string text;
  for (size_t i = 0; i < characters.size(); ++i) {
    if (gaps[i] > kBlank * (bottom - top) && gaps[i] > 2 * usual)
      text += ' ';
    text += characters[i];
  }
  return text;
}

StructureRecovery::StructureRecovery() : pages_(new Pages()) {}
StructureRecovery::~StructureRecovery() = default;

} // namespace PaddleOCR

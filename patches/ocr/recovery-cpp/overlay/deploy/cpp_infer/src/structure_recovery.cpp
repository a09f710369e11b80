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

#include <sys/stat.h>

#ifdef WITH_RECOVERY
#include <include/recovery/writers.h>
#endif

namespace PaddleOCR {

// A gap of this share of the height of the letters is a blank.
static const float kBlank = 0.22f;

// Is the text of this region written, and not its crop or its table?
static bool is_text(const StructurePredictResult &region) {
  return region.type != "figure" && region.type != "equation" &&
         (region.type != "table" || region.html.empty());
}

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
  if (region.lines.empty() || !is_text(result))
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

bool StructureRecovery::Ready(const std::string &output) {
  for (size_t at = output.find_first_of("/\\", 1); at != std::string::npos;
       at = output.find_first_of("/\\", at + 1))
    Utility::CreateDir(output.substr(0, at)); // fails where there is one
  Utility::CreateDir(output);
  struct stat info;
  if (stat(output.c_str(), &info) == 0 && (info.st_mode & S_IFDIR))
    return true;
  std::cerr << "[ERROR] cannot make the directory " << output << std::endl;
  return false;
}

#else

struct StructureRecovery::Pages {};

bool StructureRecovery::Ready(const std::string &) {
  std::cerr << "[ERROR] --recovery needs a build with -DWITH_RECOVERY=ON"
            << std::endl;
  return false;
}

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

namespace {

cv::Rect rect_of(const std::vector<float> &box) {
  return cv::Rect(cv::Point((int)box[0], (int)box[1]),
                  cv::Point((int)box[2], (int)box[3]));
}

cv::Rect rect_of(OCRPredictResult line) {
  const std::vector<int> box = Utility::xyxyxyxy2xyxy(line.box);
  return cv::Rect(cv::Point(box[0], box[1]), cv::Point(box[2], box[3]));
}

// A line in a frame in which its text runs to larger u.
struct Extent {
  int u1, u2, v1, v2;

  Extent(const cv::Rect &r, bool tall)
      : u1(tall ? r.y : r.x), u2(u1 + (tall ? r.height : r.width)),
        v1(tall ? r.x : r.y), v2(v1 + (tall ? r.width : r.height)) {}

  int height() const { return v2 - v1; }
  int along(const Extent &other) const {
    return std::min(u2, other.u2) - std::max(u1, other.u1);
  }
  bool same_row(const Extent &other) const {
    return 2 * (std::min(v2, other.v2) - std::max(v1, other.v1)) >
               std::min(height(), other.height()) &&
           along(other) > 0;
  }
};

// A line of the page and what the regions have of it.
struct Found {
  struct Part {
    size_t region, line;
    Extent extent;
  };

  bool tall;
  Extent whole;
  size_t home; // the region that has at least half of it, or regions.size()
  std::vector<Part> parts;
  bool settled; // a picture or a table shows it, or it is not one line

  Found(const OCRPredictResult &line,
        const std::vector<StructurePredictResult> &regions)
      : tall(2 * rect_of(line).height > 3 * rect_of(line).width),
        whole(rect_of(line), tall), home(regions.size()), settled(false) {
    const cv::Rect area = rect_of(line);
    int most = (area.area() + 1) / 2;
    settled = area.area() == 0;
    for (size_t r = 0; r < regions.size(); ++r) {
      const cv::Rect box = rect_of(regions[r].box);
      const int common = (area & box).area();
      if (!is_text(regions[r])) {
        settled = settled || 2 * common >= area.area();
        continue;
      }
      if (common >= most && (common > most || home == regions.size())) {
        most = common;
        home = r;
      }
      for (size_t l = 0; l < regions[r].text_res.size(); ++l) {
        cv::Rect part = rect_of(regions[r].text_res[l]);
        part.x += box.x;
        part.y += box.y;
        const Extent extent(part, tall);
        if (whole.same_row(extent))
          parts.push_back(Part{r, l, extent});
      }
    }
    // lines of two columns that the detector took for one, or two lines below
    // each other: what the regions have is better
    for (const Part &a : parts)
      for (const Part &b : parts) {
        const int shorter =
            std::min(a.extent.u2 - a.extent.u1, b.extent.u2 - b.extent.u1);
        const bool over = 2 * a.extent.along(b.extent) > shorter;
        settled = settled || (&a != &b && over == (a.region == b.region));
      }
  }

  // Does a region end before the line does?
  bool cut(const std::vector<StructurePredictResult> &regions) const {
    if (parts.empty())
      return true;
    int u1 = whole.u2, u2 = whole.u1;
    for (const Part &part : parts) {
      u1 = std::min(u1, part.extent.u1);
      u2 = std::max(u2, part.extent.u2);
    }
    const int slack = whole.height();
    if (u1 > whole.u1 + slack || u2 < whole.u2 - slack)
      return true;
    if (home == regions.size())
      return true;
    const Extent box(rect_of(regions[home].box), tall);
    return 10 * (box.v1 - whole.v1) > 3 * whole.height() ||
           10 * (whole.v2 - box.v2) > 3 * whole.height();
  }
};

size_t letters(const std::string &text) {
  return text.size() - std::count(text.begin(), text.end(), ' ');
}

// The box as large as this line needs it; its lines stay where they are. A box
// of the detector is a little larger than the ink: up to `slack` is nothing.
void enlarge(StructurePredictResult *region, const cv::Rect &line, int slack) {
  const std::vector<float> old = region->box;
  if (line.x + slack < old[0])
    region->box[0] = line.x;
  if (line.y + slack < old[1])
    region->box[1] = line.y;
  if (line.x + line.width - slack > old[2])
    region->box[2] = line.x + line.width;
  if (line.y + line.height - slack > old[3])
    region->box[3] = line.y + line.height;
  for (OCRPredictResult &read : region->text_res)
    for (std::vector<int> &point : read.box) {
      point[0] += (int)old[0] - (int)region->box[0];
      point[1] += (int)old[1] - (int)region->box[1];
    }
}

// The line with its box as of a crop of the region.
OCRPredictResult within(OCRPredictResult line,
                        const StructurePredictResult &region) {
  for (std::vector<int> &point : line.box) {
    point[0] -= (int)region.box[0];
    point[1] -= (int)region.box[1];
  }
  return line;
}

} // namespace

std::vector<OCRPredictResult>
StructureRecovery::Unread(const std::vector<OCRPredictResult> &lines,
                          const std::vector<StructurePredictResult> &regions,
                          const cv::Size &page) {
  std::vector<OCRPredictResult> unread;
  for (OCRPredictResult line : lines) {
    const Found found(line, regions);
    if (found.settled || !found.cut(regions))
      continue;
    int before = 0, behind = 0; // of what was read is not in the line
    for (const Found::Part &part : found.parts) {
      before = std::max(before, found.whole.u1 - part.extent.u1);
      behind = std::max(behind, part.extent.u2 - found.whole.u2);
    }
    // the corners run clockwise from the top left
    const size_t first = found.tall ? 1 : 0;
    const int wide = std::max(1, found.whole.u2 - found.whole.u1);
    const std::vector<std::vector<int>> quad = line.box;
    for (size_t side = 0; side < 2; ++side) {
      const size_t a = side == 0 ? first : (first + 3) % 4;
      const size_t b = side == 0 ? first + 1 : (first + 2) % 4;
      for (int axis = 0; axis < 2; ++axis) {
        const int run = quad[b][axis] - quad[a][axis];
        const int most = axis == 0 ? page.width - 1 : page.height - 1;
        const auto moved = [&](int place) {
          return std::min(most, std::max(0, place));
        };
        line.box[a][axis] = moved(quad[a][axis] - run * before / wide);
        line.box[b][axis] = moved(quad[b][axis] + run * behind / wide);
      }
    }
    unread.push_back(line);
  }
  return unread;
}

void StructureRecovery::AddRead(const std::vector<OCRPredictResult> &lines,
                                std::vector<StructurePredictResult> &regions) {
  std::vector<OCRPredictResult> sorted;
  for (const OCRPredictResult &line : lines)
    if (!line.text.empty() && line.score >= 0.5f) // else it is no text
      sorted.push_back(line);
  std::sort(sorted.begin(), sorted.end(),
            [](const OCRPredictResult &a, const OCRPredictResult &b) {
              return a.box[0][1] < b.box[0][1];
            });
  std::vector<OCRPredictResult> outside;
  for (const OCRPredictResult &line : sorted) {
    const Found found(line, regions);
    std::map<size_t, size_t> known; // letters of the line that a region has
    for (const Found::Part &part : found.parts)
      known[part.region] +=
          letters(regions[part.region].text_res[part.line].text);
    bool longer = !found.settled;
    for (const auto &region : known)
      longer = longer && letters(line.text) >= region.second;
    if (!longer)
      continue;
    for (size_t i = found.parts.size(); i-- > 0;) {
      std::vector<OCRPredictResult> &of =
          regions[found.parts[i].region].text_res;
      of.erase(of.begin() + found.parts[i].line);
    }
    if (found.home == regions.size()) {
      outside.push_back(line);
      continue;
    }
    StructurePredictResult &home = regions[found.home];
    const cv::Rect box = rect_of(line);
    enlarge(&home, box, 3 * std::min(box.width, box.height) / 10);
    size_t at = home.text_res.size(); // before what stood behind its part
    for (const Found::Part &part : found.parts)
      if (part.region == found.home)
        at = std::min(at, part.line);
    home.text_res.insert(home.text_res.begin() + at, within(line, home));
  }
  const size_t first = regions.size();
  for (const OCRPredictResult &line : outside) {
    const cv::Rect box = rect_of(line);
    StructurePredictResult *below = nullptr; // the paragraph that it goes on
    for (size_t i = first; i < regions.size(); ++i) {
      const cv::Rect other = rect_of(regions[i].box);
      const int common = std::min(other.x + other.width, box.x + box.width) -
                         std::max(other.x, box.x);
      if (box.y - (other.y + other.height) < box.height &&
          box.y + box.height > other.y + other.height &&
          2 * common > std::min(other.width, box.width))
        below = &regions[i];
    }
    if (!below) {
      StructurePredictResult made;
      made.type = "text";
      made.box = {(float)box.x, (float)box.y, (float)(box.x + box.width),
                  (float)(box.y + box.height)};
      made.confidence = 0; // a region of the layout model is surer
      regions.push_back(made);
      below = &regions.back();
    }
    enlarge(below, box, 0);
    below->text_res.push_back(within(line, *below));
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

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

#include <include/recovery/stage_file.h>

#include "labels.h"
#include "utf8.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

namespace PaddleOCR {
namespace recovery {

namespace fs = std::filesystem;
using Value = rapidjson::Value;

namespace {

// The encoding is looked at by build_document, which can also replace it.
const unsigned kFlags = rapidjson::kParseIterativeFlag | // no deep recursion
                        rapidjson::kParseNanAndInfFlag;

bool number(const Value &value, float *out) {
  if (!value.IsNumber())
    return false;
  const double d = value.GetDouble();
  if (!std::isfinite(d) || std::fabs(d) > 1e7)
    return false;
  *out = static_cast<float>(d);
  return true;
}

std::string text_of(const Value &value) {
  return value.IsString()
             ? std::string(value.GetString(), value.GetStringLength())
             : std::string();
}

// Text without boxes: a line each.
void add_bare_lines(const std::string &text, Region *region) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    TextLine line;
    line.text = text.substr(begin, end - begin);
    if (!trim(line.text).empty())
      region->lines.push_back(line);
    begin = end + 1;
  }
}

// [[x, y], ...] or the flat [x1, y1, x2, y2].
std::vector<Point> quad_of(const Value &value) {
  std::vector<Point> quad;
  if (!value.IsArray())
    return quad;
  if (value.Size() == 4 && value[0].IsNumber()) {
    float x1, y1, x2, y2;
    if (number(value[0], &x1) && number(value[1], &y1) &&
        number(value[2], &x2) && number(value[3], &y2))
      quad = {Point(x1, y1), Point(x2, y1), Point(x2, y2), Point(x1, y2)};
    return quad;
  }
  for (const Value &point : value.GetArray()) {
    float x, y;
    if (!point.IsArray() || point.Size() != 2 || !number(point[0], &x) ||
        !number(point[1], &y))
      return std::vector<Point>();
    quad.push_back(Point(x, y));
  }
  return quad;
}

const Value *member(const Value &object, const char *name) {
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() ? nullptr : &found->value;
}

// {"text", "confidence", "text_region"}, or the pair (text, score).
bool line_of(const Value &value, TextLine *line) {
  if (value.IsObject()) {
    const Value *text = member(value, "text");
    if (!text || !text->IsString())
      return false;
    line->text = text_of(*text);
    if (const Value *score = member(value, "confidence"))
      number(*score, &line->score);
    if (const Value *quad = member(value, "text_region"))
      line->quad = quad_of(*quad);
    return true;
  }
  if (value.IsArray() && value.Size() >= 1 && value[0].IsString()) {
    line->text = text_of(value[0]);
    if (value.Size() > 1)
      number(value[1], &line->score);
    return true;
  }
  return false;
}

// Boxes of cells in the pixels of the crop, four or eight numbers each.
void read_cells(const Value &boxes, Region *region) {
  if (!boxes.IsArray())
    return;
  for (const Value &each : boxes.GetArray()) {
    float v[8];
    const bool eight = each.IsArray() && each.Size() == 8;
    if (!each.IsArray() || (each.Size() != 4 && !eight)) {
      region->cells.clear();
      return;
    }
    for (rapidjson::SizeType k = 0; k < each.Size(); ++k)
      if (!number(each[k], &v[k])) {
        region->cells.clear();
        return;
      }
    const float x = region->box.x1, y = region->box.y1;
    region->cells.push_back(eight
                                ? Box(x + std::min({v[0], v[2], v[4], v[6]}),
                                      y + std::min({v[1], v[3], v[5], v[7]}),
                                      x + std::max({v[0], v[2], v[4], v[6]}),
                                      y + std::max({v[1], v[3], v[5], v[7]}))
                                : Box(x + v[0], y + v[1], x + v[2], y + v[3]));
  }
}

// False when "res" holds something that is not known.
bool read_result(const Value &res, Region *region) {
  const bool table = kind_of(lower(region->type)) == Kind::Table;
  const bool equation = kind_of(lower(region->type)) == Kind::Equation;
  if (res.IsNull())
    return true;
  if (res.IsString()) { // a table's HTML, LaTeX of an equation, or text itself
    const std::string text = text_of(res);
    if (table && text.find('<') != std::string::npos)
      region->html = text;
    else if (equation)
      region->latex = text;
    else if (!trim(text).empty())
      add_bare_lines(text, region);
    return true;
  }
  if (res.IsObject()) {
    if (const Value *boxes = member(res, "cell_bbox"))
      read_cells(*boxes, region);
    if (const Value *html = member(res, "html"))
      region->html = text_of(*html);
    if (const Value *latex = member(res, "latex"))
      region->latex = text_of(*latex);
    if (const Value *text = member(res, "text"))
      add_bare_lines(text_of(*text), region);
    return !region->html.empty() || !region->latex.empty() ||
           !region->lines.empty() || res.MemberCount() == 0 ||
           member(res, "html");
  }
  if (!res.IsArray())
    return false;
  // older versions: [boxes, [(text, score), ...]]
  if (res.Size() == 2 && res[0].IsArray() && res[1].IsArray() &&
      res[0].Size() == res[1].Size() && res[0].Size() > 0 &&
      res[1][0].IsArray()) {
    bool all = true;
    for (rapidjson::SizeType i = 0; i < res[0].Size(); ++i) {
      TextLine line;
      if (!line_of(res[1][i], &line)) {
        all = false;
        continue;
      }
      std::vector<Point> quad;
      if (res[0][i].IsArray() && res[0][i].Size() == 8) {
        float xy[8];
        bool good = true;
        for (rapidjson::SizeType k = 0; k < 8; ++k)
          good = good && number(res[0][i][k], &xy[k]);
        for (int k = 0; good && k < 4; ++k)
          quad.push_back(Point(xy[2 * k], xy[2 * k + 1]));
      } else {
        quad = quad_of(res[0][i]);
      }
      line.quad = quad;
      region->lines.push_back(line);
    }
    return all;
  }
  bool all = true;
  for (const Value &value : res.GetArray()) {
    TextLine line;
    if (line_of(value, &line))
      region->lines.push_back(line);
    else
      all = false;
  }
  return all;
}

// Half of a surrogate pair, which is no character, becomes U+FFFD.
bool replace_lone_surrogates(std::string *json) {
  std::string &s = *json;
  bool any = false;
  const auto unit = [&](size_t i) { // of "\\uXXXX" at i, or 0
    unsigned value = 0;
    if (i + 6 > s.size() || s[i] != '\\' || s[i + 1] != 'u')
      return 0u;
    for (size_t k = i + 2; k < i + 6; ++k) {
      const char c = s[k];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0)
        return 0u;
      value = value * 16 + digit;
    }
    return value;
  };
  const auto high = [](unsigned u) { return u >= 0xD800 && u < 0xDC00; };
  const auto low = [](unsigned u) { return u >= 0xDC00 && u < 0xE000; };
  for (size_t i = 0; i < s.size();) {
    if (s[i] != '\\') {
      ++i;
      continue;
    }
    const unsigned here = unit(i);
    if (high(here) && low(unit(i + 6))) {
      i += 12;
    } else if (high(here) || low(here)) {
      s.replace(i + 2, 4, "fffd");
      any = true;
      i += 6;
    } else {
      i += 2;
    }
  }
  return any;
}

// The crop's name holds the box as Python prints a list.
void read_crop(const fs::path &directory, const Value &box, int page,
               Region *region) {
  std::string name = "[";
  for (rapidjson::SizeType i = 0; i < box.Size(); ++i) {
    if (!box[i].IsInt64())
      return;
    name += (i ? ", " : "") + std::to_string(box[i].GetInt64());
  }
  name += "]_" + std::to_string(page);
  region->image_name = name + ".jpg";
  if (kind_of(lower(region->type)) == Kind::Figure)
    region->image_problem = "no crop: " + region->image_name;
  for (const char *extension : {".jpg", ".png", ".jpeg"}) {
    const fs::path path = directory / (name + extension);
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) {
      region->image_name = path.filename().string();
      try {
        region->image = read_file(path.string());
        region->image_problem.clear();
      } catch (const RecoveryError &problem) { // as one that is missing
        region->image_problem = problem.what();
      }
      return;
    }
  }
}

// Returns the page number of "res_<number>.txt", or -1.
long page_number(const fs::path &path) {
  const std::string name = path.filename().string();
  if (name.size() < 9 || name.compare(0, 4, "res_") != 0 ||
      name.compare(name.size() - 4, 4, ".txt") != 0)
    return -1;
  const std::string digits = name.substr(4, name.size() - 8);
  if (digits.size() > 9 ||
      digits.find_first_not_of("0123456789") != std::string::npos)
    return -1;
  return std::stol(digits);
}

std::vector<fs::path> stage_files(const fs::path &directory) {
  std::vector<fs::path> files;
  std::error_code problem;
  for (fs::directory_iterator it(directory, problem), end; it != end;
       it.increment(problem)) {
    if (problem)
      break;
    if (page_number(it->path()) >= 0)
      files.push_back(it->path());
  }
  std::sort(files.begin(), files.end(),
            [](const fs::path &a, const fs::path &b) {
              return page_number(a) < page_number(b);
            });
  return files;
}

// Natural order: runs of digits count as numbers.
bool natural_less(const std::string &a, const std::string &b) {
  size_t i = 0, k = 0;
  const auto digits = [](const std::string &s, size_t from) {
    size_t to = from;
    while (to < s.size() && s[to] >= '0' && s[to] <= '9')
      ++to;
    return to;
  };
  while (i < a.size() && k < b.size()) {
    const size_t i2 = digits(a, i), k2 = digits(b, k);
    if (i2 > i && k2 > k) {
      std::string x = a.substr(i, i2 - i), y = b.substr(k, k2 - k);
      x.erase(0, std::min(x.find_first_not_of('0'), x.size() - 1));
      y.erase(0, std::min(y.find_first_not_of('0'), y.size() - 1));
      if (x.size() != y.size())
        return x.size() < y.size();
      if (x != y)
        return x < y;
      i = i2;
      k = k2;
      continue;
    }
    if (a[i] != b[k])
      return a[i] < b[k];
    ++i;
    ++k;
  }
  return a.size() - i < b.size() - k;
}

} // namespace

namespace {

// One line of the file. Throws RecoveryError.
Region read_region(const std::string &json_line, const std::string &place,
                   const fs::path &directory, int *index,
                   std::vector<std::string> *losses) {
  rapidjson::Document json;
  json.Parse<kFlags>(json_line.data(), json_line.size());
  if (json.HasParseError())
    throw RecoveryError(
        place +
        "not JSON: " + rapidjson::GetParseError_En(json.GetParseError()) +
        " (byte " + std::to_string(json.GetErrorOffset()) + ")");
  if (!json.IsObject())
    throw RecoveryError(place + "not a JSON object");
  const Value *type = member(json, "type"), *box = member(json, "bbox");
  if (!type || !type->IsString())
    throw RecoveryError(place + "no \"type\"");
  Region region;
  region.type = text_of(*type);
  if (!box || !box->IsArray() || box->Size() != 4 ||
      !number((*box)[0], &region.box.x1) ||
      !number((*box)[1], &region.box.y1) ||
      !number((*box)[2], &region.box.x2) || !number((*box)[3], &region.box.y2))
    throw RecoveryError(place + "\"bbox\" is not four numbers");
  if (const Value *given = member(json, "img_idx"))
    if (given->IsInt() && given->GetInt() >= 0)
      *index = given->GetInt();
  if (const Value *score = member(json, "score"))
    number(*score, &region.score);
  if (const Value *latex = member(json, "latex"))
    region.latex = text_of(*latex);
  if (const Value *res = member(json, "res"))
    if (!read_result(*res, &region))
      losses->push_back(place + "\"res\" of " + region.type +
                        " holds what is not known");
  read_crop(directory, *box, *index, &region);
  return region;
}

} // namespace

std::vector<Page> read_stage_file(const std::string &path) {
  const std::vector<unsigned char> bytes = read_file(path);
  return parse_stage(std::string(bytes.begin(), bytes.end()), path);
}

std::vector<Page> parse_stage(std::string content, const std::string &path) {
  if (content.compare(0, 3, "\xEF\xBB\xBF") == 0) // byte order mark
    content.erase(0, 3);
  if (content.compare(0, 2, "\xFF\xFE") == 0 ||
      content.compare(0, 2, "\xFE\xFF") == 0)
    throw RecoveryError(path + ":1: UTF-16; UTF-8 is wanted");
  const fs::path directory = fs::path(path).parent_path();
  std::vector<Page> pages;
  const long named = page_number(path);
  const int usual = named < 0 ? 0 : static_cast<int>(named);
  std::vector<std::string> warnings, losses;
  std::string first_problem;
  size_t begin = 0;
  for (int count = 1; begin < content.size(); ++count) {
    size_t end = content.find('\n', begin);
    end = end == std::string::npos ? content.size() : end;
    std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \r\t") == std::string::npos)
      continue;
    const std::string place = path + ":" + std::to_string(count) + ": ";
    if (replace_lone_surrogates(&line))
      warnings.push_back(place + "half of a surrogate pair became U+FFFD");
    int index = usual;
    Region region;
    try { // a damaged line does not lose the others
      region = read_region(line, place, directory, &index, &losses);
    } catch (const RecoveryError &problem) {
      losses.push_back(problem.what());
      if (first_problem.empty())
        first_problem = problem.what();
      continue;
    }
    auto page = std::find_if(pages.begin(), pages.end(),
                             [&](const Page &p) { return p.index == index; });
    if (page == pages.end()) {
      pages.push_back(Page());
      page = pages.end() - 1;
      page->index = index;
    }
    page->regions.push_back(std::move(region));
  }
  if (pages.empty() && !first_problem.empty())
    throw RecoveryError(first_problem);
  if (pages.empty()) { // an empty page
    pages.push_back(Page());
    pages[0].index = usual;
  }
  pages[0].warnings = std::move(warnings);
  pages[0].losses = std::move(losses);
  return pages;
}

std::vector<Page> read_stage_directory(const std::string &directory) {
  std::vector<Page> pages;
  const std::vector<fs::path> files = stage_files(directory);
  if (files.empty())
    throw RecoveryError("no res_<page>.txt in " + directory);
  for (const fs::path &file : files)
    for (Page &page : read_stage_file(file.string()))
      pages.push_back(std::move(page));
  return pages;
}

std::vector<std::string> stage_directories(const std::string &directory) {
  std::vector<std::string> found;
  std::error_code problem;
  for (fs::directory_iterator it(directory, problem), end; it != end;
       it.increment(problem)) {
    if (problem)
      break;
    std::error_code ignored;
    if (it->is_directory(ignored) && !stage_files(it->path()).empty())
      found.push_back(it->path().string());
  }
  if (problem)
    throw RecoveryError("cannot read " + directory + ": " + problem.message());
  std::sort(found.begin(), found.end(), natural_less);
  return found;
}

} // namespace recovery
} // namespace PaddleOCR

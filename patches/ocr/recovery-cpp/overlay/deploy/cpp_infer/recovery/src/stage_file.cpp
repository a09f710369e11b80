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

void read_result(const Value &res, Region *region) {
  if (res.IsString()) { // older versions: a table's HTML itself
    const std::string text = text_of(res);
    if (text.find('<') != std::string::npos)
      region->html = text;
    return;
  }
  if (res.IsObject()) {
    if (const Value *html = member(res, "html"))
      region->html = text_of(*html);
    return;
  }
  if (!res.IsArray())
    return;
  // older versions: [boxes, [(text, score), ...]]
  if (res.Size() == 2 && res[0].IsArray() && res[1].IsArray() &&
      res[0].Size() == res[1].Size() && res[0].Size() > 0 &&
      res[1][0].IsArray()) {
    for (rapidjson::SizeType i = 0; i < res[0].Size(); ++i) {
      TextLine line;
      if (!line_of(res[1][i], &line))
        continue;
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
    return;
  }
  for (const Value &value : res.GetArray()) {
    TextLine line;
    if (line_of(value, &line))
      region->lines.push_back(line);
  }
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
  for (const char *extension : {".jpg", ".png", ".jpeg"}) {
    const fs::path path = directory / (name + extension);
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) {
      region->image_name = path.filename().string();
      region->image = read_file(path.string());
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

std::vector<Page> read_stage_file(const std::string &path) {
  const std::vector<unsigned char> bytes = read_file(path);
  const std::string content(bytes.begin(), bytes.end());
  const fs::path directory = fs::path(path).parent_path();
  std::vector<Page> pages;
  const long named = page_number(path);
  if (content.find_first_not_of(" \r\n") == std::string::npos) {
    Page page; // an empty page
    page.index = named < 0 ? 0 : static_cast<int>(named);
    pages.push_back(page);
    return pages;
  }
  size_t begin = 0;
  for (int count = 1; begin < content.size(); ++count) {
    size_t end = content.find('\n', begin);
    end = end == std::string::npos ? content.size() : end;
    const std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \r\t") == std::string::npos)
      continue;
    const std::string place = path + ":" + std::to_string(count) + ": ";
    rapidjson::Document json;
    json.Parse<kFlags>(line.data(), line.size());
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
        !number((*box)[2], &region.box.x2) ||
        !number((*box)[3], &region.box.y2))
      throw RecoveryError(place + "\"bbox\" is not four numbers");
    int index = named < 0 ? 0 : static_cast<int>(named);
    if (const Value *given = member(json, "img_idx"))
      if (given->IsInt() && given->GetInt() >= 0)
        index = given->GetInt();
    if (const Value *res = member(json, "res"))
      read_result(*res, &region);
    read_crop(directory, *box, index, &region);
    auto page = std::find_if(pages.begin(), pages.end(),
                             [&](const Page &p) { return p.index == index; });
    if (page == pages.end()) {
      pages.push_back(Page());
      page = pages.end() - 1;
      page->index = index;
    }
    page->regions.push_back(std::move(region));
  }
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

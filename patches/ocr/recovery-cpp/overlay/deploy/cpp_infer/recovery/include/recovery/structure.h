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

#pragma once

// What layout analysis, OCR and table recognition found on the pages: the
// input of layout recovery. Plain data, no inference engine, no OpenCV.
// This header is valid C++11, as the rest of cpp_infer is.

#include <stdexcept>
#include <string>
#include <vector>

namespace PaddleOCR {
namespace recovery {

// Every function of the library reports failure by this exception. The text
// names the page, the region or the path, and what is wrong with it.
class RecoveryError : public std::runtime_error {
public:
  explicit RecoveryError(const std::string &what) : std::runtime_error(what) {}
};

// Pixels of the page image; x to the right, y down.
struct Point {
  float x;
  float y;
  Point(float px = 0, float py = 0) : x(px), y(py) {}
};

struct Box {
  float x1, y1, x2, y2;
  Box(float left = 0, float top = 0, float right = 0, float bottom = 0)
      : x1(left), y1(top), x2(right), y2(bottom) {}
  float width() const { return x2 - x1; }
  float height() const { return y2 - y1; }
};

// One box of the text detector. `quad` has four points, clockwise from the
// corner where the text begins, as PaddleOCR's detector gives them.
struct TextLine {
  std::string text; // UTF-8
  float score;      // 0..1
  std::vector<Point> quad;
  TextLine() : score(1) {}
};

// One region of the layout model. Regions may overlap: a line that was found
// in two of them is written once.
struct Region {
  std::string type; // text, title, list, table, figure, header, ... (any case)
  Box box;
  float score; // 0..1, of the layout model
  std::vector<TextLine> lines;
  std::string html;                 // of a table
  std::vector<Box> cells;           // of a table, in the order of its <td>
  std::string latex;                // of an equation
  std::vector<unsigned char> image; // encoded crop: JPEG, PNG, GIF or BMP
  std::string image_name;           // for messages only
  std::string image_problem;        // why there is no crop, for messages only
  Region() : score(1) {}
};

struct Page {
  int index;           // of the page in its document, from 0
  float width, height; // of the page image in pixels; 0 = not known
  std::vector<Region> regions;
  std::vector<std::string> warnings; // of whoever read the page
  std::vector<std::string> losses;   // what could not be read
  Page() : index(0), width(0), height(0) {}
};

} // namespace recovery
} // namespace PaddleOCR

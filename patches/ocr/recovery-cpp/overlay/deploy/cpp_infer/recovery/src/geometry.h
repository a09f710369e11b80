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

#include <include/recovery/document.h>

namespace PaddleOCR {
namespace recovery {

// A line of text as a reader sees it: the detector's boxes of one row, in a
// frame in which the text runs to larger u and lines follow to larger v.
struct Row {
  std::string text;
  float u1, u2, v1, v2;
  float height; // of the text, median of its boxes
};

struct TextFlow {
  std::vector<Row> rows;
  bool right_to_left;
  float left, right; // of the rows, in u
  float height;      // median
};

// The boxes of a region -> rows in reading order. Handles skewed, rotated and
// vertical text and right-to-left scripts.
TextFlow make_rows(const std::vector<TextLine> &lines, const Box &region);

// Rows -> paragraphs. `hanging` is for lists and references: an entry begins
// with its mark, and the lines below it stand to the right.
std::vector<Paragraph> make_paragraphs(const TextFlow &flow, bool hanging);

// All rows in one paragraph (titles, captions).
Paragraph join_rows(const TextFlow &flow);

// Two lines of one paragraph: no space between ideographs, a hyphen that
// breaks a word goes.
std::string join_lines(const std::string &above, const std::string &below);

// One region and where it stands.
struct Placed {
  const Region *region;
  int column; // 0 or 1
};

// A band of the page with one or two columns.
struct Band {
  int columns;
  std::vector<Placed> regions;
};

// Regions -> bands in reading order. The rule for left and right is the one of
// ppstructure/recovery (quarters of the page's width); a band counts as two
// columns only when both hold something side by side.
std::vector<Band> reading_order(const std::vector<const Region *> &regions,
                                float page_width);

} // namespace recovery
} // namespace PaddleOCR

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

// Lines of a program, each a line of the paragraph.
Paragraph code_of(const TextFlow &flow);

// Marks of neighbouring paragraphs -> lists, where at least `least` marks of
// one kind follow each other, numbers without a gap. `lists` counts them.
void make_lists(std::vector<Paragraph> *paragraphs, int least, int *lists);

// Widths of the columns, sides of the cells and size of the type (in pixels)
// from where cells and their text stand on the page, as far as that is known.
void lay_out_table(const Region &region, Table *table);

// Two lines of one paragraph: no space between ideographs, a hyphen that
// breaks a word goes.
std::string join_lines(const std::string &above, const std::string &below);

// One region and where it stands.
struct Placed {
  const Region *region;
  int column; // in reading order
};

// A band of the page with one or more columns.
struct Band {
  int columns;
  std::vector<Box> places; // of the columns, in reading order
  std::vector<Placed> regions;
};

// How the columns of a page follow each other.
enum class PageFlow { LeftToRight, RightToLeft, VerticalText };

// Regions -> bands in reading order, by a recursive XY-cut: the page is cut at
// white lines across it, neighbouring parts with a common gutter become one
// band of columns, and each column is cut again. Where a region reaches over
// the gutter, what stands above it comes first and what stands below it last.
std::vector<Band> reading_order(const std::vector<const Region *> &regions,
                                float page_width,
                                PageFlow flow = PageFlow::LeftToRight);

} // namespace recovery
} // namespace PaddleOCR

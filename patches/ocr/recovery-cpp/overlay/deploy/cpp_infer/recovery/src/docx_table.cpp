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

#include "docx_parts.h"
#include "utf8.h"

#include <algorithm>
#include <cmath>

namespace PaddleOCR {
namespace recovery {

namespace {

const float kCellMargin = 7; // points, left and right together
const float kLine = 1.2f;    // height of a line / size of its type

// Widths as on the page, or by the text in the columns, none below a third of
// the mean.
std::vector<int> column_widths(const Table &table, float width) {
  if (!table.widths.empty()) {
    float all = 0;
    std::vector<int> widths;
    for (float w : table.widths)
      all += w;
    for (float w : table.widths)
      widths.push_back(std::max(1, twips(width * w / all)));
    return widths;
  }
  std::vector<float> wish(table.columns, 4);
  for (const Cell &cell : table.cells) {
    const float each =
        std::min(40, display_width(plain_text(cell.runs))) + 2.0f;
    for (int c = 0; c < cell.column_span; ++c)
      wish[cell.column + c] =
          std::max(wish[cell.column + c], each / cell.column_span);
  }
  float total = 0;
  for (float w : wish)
    total += w;
  const float least = total / table.columns / 3;
  total = 0;
  for (float &w : wish) {
    w = std::max(w, least);
    total += w;
  }
  std::vector<int> widths;
  for (float w : wish)
    widths.push_back(std::max(1, twips(width * w / total)));
  return widths;
}

// Lines of each row with a type of this size, at least one.
std::vector<int> row_lines(const Table &table, const std::vector<int> &widths,
                           float size) {
  std::vector<int> lines(table.rows, 1);
  for (const Cell &cell : table.cells) {
    if (cell.row_span > 1)
      continue;
    float room = -kCellMargin;
    for (int c = 0; c < cell.column_span; ++c)
      room += widths[cell.column + c] / 20.0f;
    const std::string text = plain_text(cell.runs);
    const float wide = display_width(text) * size / 2;
    const float need = std::ceil(wide / std::max(size, room)) +
                       std::count(text.begin(), text.end(), '\n');
    lines[cell.row] = std::max(lines[cell.row], static_cast<int>(need));
  }
  return lines;
}

float text_height(const std::vector<int> &lines, float size) {
  float total = 0;
  for (int n : lines)
    total += kLine * size * n;
  return total;
}

void add_cell(pugi::xml_node row, const Cell &cell, int width,
              const char *merge, float size_of_type) {
  pugi::xml_node node = row.append_child("w:tc");
  pugi::xml_node properties = node.append_child("w:tcPr");
  pugi::xml_node size = properties.append_child("w:tcW");
  size.append_attribute("w:w") = width;
  size.append_attribute("w:type") = "dxa";
  if (cell.column_span > 1)
    properties.append_child("w:gridSpan").append_attribute("w:val") =
        cell.column_span;
  if (merge)
    properties.append_child("w:vMerge").append_attribute("w:val") = merge;
  properties.append_child("w:vAlign").append_attribute("w:val") = "center";
  pugi::xml_node paragraph = node.append_child("w:p"); // a cell ends with one
  const bool goes_on = merge && std::string(merge) == "continue";
  if (goes_on || plain_text(cell.runs).empty()) { // no higher than the others
    pugi::xml_node mark = paragraph.append_child("w:pPr").append_child("w:rPr");
    const int half_points = static_cast<int>(std::lround(2 * size_of_type));
    mark.append_child("w:sz").append_attribute("w:val") = half_points;
    mark.append_child("w:szCs").append_attribute("w:val") = half_points;
    return;
  }
  const bool bidi = mostly_right_to_left(plain_text(cell.runs));
  if (bidi || cell.align != Align::Left) {
    pugi::xml_node of = paragraph.append_child("w:pPr");
    if (bidi)
      of.append_child("w:bidi");
    if (cell.align != Align::Left)
      of.append_child("w:jc").append_attribute("w:val") =
          align_name(cell.align);
  }
  add_runs(paragraph, cell.runs, size_of_type);
}

} // namespace

void add_table(pugi::xml_node parent, const Table &table,
               const TablePlace &place) {
  if (table.columns > kWordColumns)
    throw RecoveryError("a table of " + std::to_string(table.columns) +
                        " columns: Word takes " + std::to_string(kWordColumns));
  const float least = std::min(6.0f, place.text_size); // points
  const float usual = table.font_size > 0 ? std::round(2 * table.font_size) / 2
                                          : place.text_size;
  float size = std::max(least, usual), height = place.height;
  std::vector<int> widths = column_widths(
      table, std::min(place.column, std::max(place.width, 36.0f)));
  std::vector<int> lines = row_lines(table, widths, size);
  while (size > least && text_height(lines, size) > height) {
    size = std::max(least, size - 0.5f);
    lines = row_lines(table, widths, size);
  }
  if (text_height(lines, size) > 1.5f * height) { // not the box of this table
    height = 0;
    size = usual;
    widths = column_widths(table, place.column);
  }
  const float spare =
      std::max(0.0f, height - text_height(lines, size)) / table.rows;
  pugi::xml_node node = parent.append_child("w:tbl");
  pugi::xml_node properties = node.append_child("w:tblPr");
  properties.append_child("w:tblStyle").append_attribute("w:val") = "TableGrid";
  int sum = 0;
  for (int w : widths)
    sum += w;
  pugi::xml_node total = properties.append_child("w:tblW");
  total.append_attribute("w:w") = sum;
  total.append_attribute("w:type") = "dxa";
  properties.append_child("w:jc").append_attribute("w:val") =
      align_name(table.align);
  pugi::xml_node grid = node.append_child("w:tblGrid");
  for (int w : widths)
    grid.append_child("w:gridCol").append_attribute("w:w") = w;

  // the cell that covers each position
  std::vector<const Cell *> cover(1u * table.rows * table.columns, nullptr);
  for (const Cell &cell : table.cells)
    for (int r = cell.row; r < cell.row + cell.row_span; ++r)
      for (int c = cell.column; c < cell.column + cell.column_span; ++c)
        cover[1u * r * table.columns + c] = &cell;
  for (int r = 0; r < table.rows; ++r) {
    pugi::xml_node row = node.append_child("w:tr");
    pugi::xml_node row_properties = row.append_child("w:trPr");
    if (height > 0)
      row_properties.append_child("w:trHeight").append_attribute("w:val") =
          twips(kLine * size * lines[r] + spare);
    if (r < table.header_rows)
      row_properties.append_child("w:tblHeader");
    if (!row_properties.first_child())
      row.remove_child(row_properties);
    for (int c = 0; c < table.columns;) {
      const Cell &cell = *cover[1u * r * table.columns + c];
      int cell_width = 0;
      for (int k = 0; k < cell.column_span; ++k)
        cell_width += widths[c + k];
      const char *merge = cell.row_span == 1 ? nullptr
                          : cell.row == r    ? "restart"
                                             : "continue";
      add_cell(row, cell, cell_width, merge, size);
      c += cell.column_span;
    }
  }
}

} // namespace recovery
} // namespace PaddleOCR

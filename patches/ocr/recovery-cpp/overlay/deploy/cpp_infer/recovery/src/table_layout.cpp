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

#include "geometry.h"

#include <algorithm>
#include <cmath>

namespace PaddleOCR {
namespace recovery {

namespace {

Box line_box(const TextLine &line) {
  Box box(line.quad[0].x, line.quad[0].y, line.quad[0].x, line.quad[0].y);
  for (const Point &p : line.quad)
    box = Box(std::min(box.x1, p.x), std::min(box.y1, p.y),
              std::max(box.x2, p.x), std::max(box.y2, p.y));
  return box;
}

// How far the middle of a line is from a cell, 0 inside.
float distance(const Box &line, const Box &cell) {
  const float x = (line.x1 + line.x2) / 2, y = (line.y1 + line.y2) / 2;
  return std::max(0.0f, std::max(cell.x1 - x, x - cell.x2)) +
         std::max(0.0f, std::max(cell.y1 - y, y - cell.y2));
}

// Mean distance from the mean.
float spread(const std::vector<float> &values) {
  float mean = 0, sum = 0;
  for (float v : values)
    mean += v / values.size();
  for (float v : values)
    sum += std::fabs(v - mean) / values.size();
  return sum;
}

// Side of one text between two edges.
Align side_of(const Box &text, float left, float right) {
  const float before = text.x1 - left, after = right - text.x2;
  const float room = right - left;
  if (std::fabs(before - after) < 0.15f * room && before > 0.08f * room)
    return Align::Centre;
  return before > 2 * after && before > 0.3f * room ? Align::Right
                                                    : Align::Left;
}

} // namespace

void lay_out_table(const Region &region, Table *table) {
  std::vector<TextLine> lines;
  for (const TextLine &line : region.lines)
    if (!line.quad.empty())
      lines.push_back(line);
  std::vector<float> sizes; // each line by itself: a row has gaps
  for (const TextLine &line : lines) {
    const TextFlow flow = make_rows({line}, region.box);
    if (!flow.rows.empty())
      sizes.push_back(join_rows(flow).font_size);
  }
  std::sort(sizes.begin(), sizes.end());
  if (!sizes.empty())
    table->font_size = sizes[sizes.size() / 2];
  size_t places = 0;
  for (const Cell &cell : table->cells)
    places += cell.place >= 0;
  if (region.cells.size() != places || places == 0)
    return; // the boxes belong to other cells

  // the text of each cell, as the lines in it, or as its box
  std::vector<Box> texts = region.cells;
  std::vector<char> read(places, 0);
  for (const TextLine &line : lines) {
    const Box box = line_box(line);
    size_t best = 0;
    for (size_t k = 1; k < places; ++k)
      if (distance(box, region.cells[k]) < distance(box, region.cells[best]))
        best = k;
    Box &text = texts[best];
    text = read[best]
               ? Box(std::min(text.x1, box.x1), std::min(text.y1, box.y1),
                     std::max(text.x2, box.x2), std::max(text.y2, box.y2))
               : box;
    read[best] = 1;
  }

  std::vector<float> left(table->columns, 1e30f), right(table->columns, -1e30f);
  for (const Cell &cell : table->cells)
    if (cell.place >= 0 && cell.column_span == 1) {
      const Box &box = region.cells[cell.place], &text = texts[cell.place];
      left[cell.column] = std::min({left[cell.column], box.x1, text.x1});
      right[cell.column] = std::max({right[cell.column], box.x2, text.x2});
    }
  std::vector<float> edges(1, region.box.x1);
  for (int c = 1; c < table->columns; ++c)
    edges.push_back((right[c - 1] + left[c]) / 2);
  edges.push_back(region.box.x2);
  for (size_t e = 1; e < edges.size(); ++e)
    if (!(edges[e] - edges[e - 1] > 0.01f * region.box.width()) ||
        !(edges[e] - edges[e - 1] < 1e6f))
      return; // a column of which nothing is known
  for (size_t e = 1; e < edges.size(); ++e)
    table->widths.push_back(edges[e] - edges[e - 1]);

  std::vector<std::vector<float>> lefts(table->columns), rights(table->columns),
      middles(table->columns), wide(table->columns);
  const auto known = [&](const Cell &cell) {
    return cell.place >= 0 && !plain_text(cell.runs).empty() &&
           (lines.empty() || read[cell.place]);
  };
  for (const Cell &cell : table->cells)
    if (known(cell) && cell.column_span == 1 &&
        cell.row >= table->header_rows) {
      const Box &text = texts[cell.place];
      lefts[cell.column].push_back(text.x1);
      rights[cell.column].push_back(text.x2);
      middles[cell.column].push_back((text.x1 + text.x2) / 2);
      wide[cell.column].push_back(text.width());
    }
  for (Cell &cell : table->cells) {
    if (!known(cell))
      continue;
    const int c = cell.column;
    const float from = edges[c], to = edges[c + cell.column_span];
    const bool whole = lines.empty() && spread(wide[c]) < 0.05f * (to - from);
    if (whole) // boxes of cells, not of their text
      continue;
    if (cell.column_span == 1 && cell.row >= table->header_rows &&
        wide[c].size() > 1 && spread(wide[c]) > 0.05f * (to - from)) {
      const float l = spread(lefts[c]), r = spread(rights[c]),
                  m = spread(middles[c]);
      cell.align = m < 0.7f * std::min(l, r)   ? Align::Centre
                   : r < 0.7f * std::min(l, m) ? Align::Right
                                               : Align::Left;
    } else {
      cell.align = side_of(texts[cell.place], from, to);
    }
  }
}

} // namespace recovery
} // namespace PaddleOCR

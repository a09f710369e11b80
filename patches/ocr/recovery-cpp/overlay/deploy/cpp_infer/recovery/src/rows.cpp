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
#include "utf8.h"

#include <algorithm>
#include <cmath>

namespace PaddleOCR {
namespace recovery {

namespace {

struct Item {
  float u1, u2, v1, v2;
  const std::string *text;
  float centre() const { return (v1 + v2) / 2; }
  float height() const { return v2 - v1; }
};

float median(std::vector<float> values) {
  if (values.empty())
    return 0;
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + middle, values.end());
  return values[middle];
}

// Direction of the text in the region, as a unit vector. The detector orders
// the points of upright boxes, so text that runs down the page shows as
// boxes that are taller than wide.
Point text_direction(const std::vector<TextLine> &lines) {
  double x = 0, y = 0;
  int tall = 0, wide = 0;
  for (const TextLine &line : lines) {
    if (line.quad.size() < 4)
      continue;
    const double dx = line.quad[1].x - line.quad[0].x;
    const double dy = line.quad[1].y - line.quad[0].y;
    const double ex = line.quad[2].x - line.quad[1].x;
    const double ey = line.quad[2].y - line.quad[1].y;
    const double along = std::hypot(dx, dy), across = std::hypot(ex, ey);
    if (decode_utf8(line.text).size() >= 2)
      ++(across > 1.5 * along ? tall : wide);
    x += dx;
    y += dy;
  }
  const double length = std::hypot(x, y);
  if (length < 1e-6)
    return tall > wide ? Point(0, 1) : Point(1, 0);
  Point direction(static_cast<float>(x / length),
                  static_cast<float>(y / length));
  if (tall > wide) // text runs along the other edge: to the lower end
    direction = Point(-direction.y, direction.x);
  return direction;
}

std::vector<Item> place_items(const std::vector<TextLine> &lines,
                              const Box &region, bool right_to_left) {
  const Point d = text_direction(lines);
  std::vector<Item> items;
  for (size_t i = 0; i < lines.size(); ++i) {
    const TextLine &line = lines[i];
    std::vector<Point> points = line.quad;
    if (points.empty()) { // no box: its share of the region's, as a flat line
      const float y =
          region.y1 + (region.y2 - region.y1) * (i + 0.5f) / lines.size();
      points = {Point(region.x1, y), Point(region.x2, y)};
    }
    Item item = {1e30f, -1e30f, 1e30f, -1e30f, &line.text};
    for (const Point &p : points) {
      const float u = p.x * d.x + p.y * d.y, v = -p.x * d.y + p.y * d.x;
      item.u1 = std::min(item.u1, right_to_left ? -u : u);
      item.u2 = std::max(item.u2, right_to_left ? -u : u);
      item.v1 = std::min(item.v1, v);
      item.v2 = std::max(item.v2, v);
    }
    items.push_back(item);
  }
  return items;
}

Row make_row(std::vector<Item> items) {
  std::stable_sort(items.begin(), items.end(),
                   [](const Item &a, const Item &b) { return a.u1 < b.u1; });
  Row row = {"", items[0].u1, items[0].u2, items[0].v1, items[0].v2, 0};
  std::vector<float> heights;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item &item = items[i];
    const std::string text = trim(*item.text);
    heights.push_back(item.height());
    if (i > 0 && !text.empty() && !row.text.empty()) {
      const bool near = item.u1 - row.u2 < 0.5f * item.height();
      const uint32_t last = decode_utf8(row.text).back();
      const uint32_t first = decode_utf8(text).front();
      if (!near || !(no_space(last) || no_space(first)))
        row.text += ' ';
    }
    row.text += text;
    row.u1 = std::min(row.u1, item.u1);
    row.u2 = std::max(row.u2, item.u2);
    row.v1 = std::min(row.v1, item.v1);
    row.v2 = std::max(row.v2, item.v2);
  }
  row.height = median(heights);
  return row;
}

} // namespace

TextFlow make_rows(const std::vector<TextLine> &lines, const Box &region) {
  TextFlow flow;
  std::string all;
  for (const TextLine &line : lines)
    all += line.text;
  flow.right_to_left = mostly_right_to_left(all);
  flow.left = flow.right = flow.height = 0;

  std::vector<Item> items = place_items(lines, region, flow.right_to_left);
  std::stable_sort(
      items.begin(), items.end(),
      [](const Item &a, const Item &b) { return a.centre() < b.centre(); });
  std::vector<Item> row;
  float top = 0, bottom = 0;
  const auto close = [&]() {
    if (row.empty())
      return;
    Row made = make_row(row);
    if (!made.text.empty())
      flow.rows.push_back(made);
    row.clear();
  };
  for (const Item &item : items) {
    const float overlap = std::min(bottom, item.v2) - std::max(top, item.v1);
    const float least = std::min(bottom - top, item.height());
    if (row.empty() || overlap <= 0.5f * least) {
      close();
      top = item.v1;
      bottom = item.v2;
    }
    row.push_back(item);
  }
  close();
  std::vector<float> heights;
  for (size_t i = 0; i < flow.rows.size(); ++i) {
    const Row &made = flow.rows[i];
    flow.left = i == 0 ? made.u1 : std::min(flow.left, made.u1);
    flow.right = i == 0 ? made.u2 : std::max(flow.right, made.u2);
    heights.push_back(made.height);
  }
  flow.height = median(heights);
  return flow;
}

} // namespace recovery
} // namespace PaddleOCR

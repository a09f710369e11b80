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

namespace PaddleOCR {
namespace recovery {

namespace {

enum class Side { Left, Right, Whole };

Side side_of(const Box &box, float width) {
  if (box.x1 < width / 4 && box.x2 < 3 * width / 4)
    return Side::Left;
  if (box.x1 > width / 4 && box.x2 > width / 2)
    return Side::Right;
  return Side::Whole;
}

bool side_by_side(const std::vector<const Region *> &left,
                  const std::vector<const Region *> &right) {
  for (const Region *a : left)
    for (const Region *b : right) {
      const float overlap =
          std::min(a->box.y2, b->box.y2) - std::max(a->box.y1, b->box.y1);
      const float least = std::min(a->box.height(), b->box.height());
      if (overlap > 0.1f * least)
        return true;
    }
  return false;
}

bool above(const Region *a, const Region *b) {
  return a->box.y1 != b->box.y1 ? a->box.y1 < b->box.y1 : a->box.x1 < b->box.x1;
}

void add_band(std::vector<Band> *bands, int columns,
              const std::vector<const Region *> &left,
              const std::vector<const Region *> &right) {
  if (left.empty() && right.empty())
    return;
  if (bands->empty() || bands->back().columns != columns || columns == 2)
    bands->push_back(Band{columns, {}});
  for (const Region *region : left)
    bands->back().regions.push_back(Placed{region, 0});
  for (const Region *region : right)
    bands->back().regions.push_back(Placed{region, columns == 2 ? 1 : 0});
}

} // namespace

std::vector<Band> reading_order(const std::vector<const Region *> &regions,
                                float page_width) {
  std::vector<const Region *> sorted = regions;
  std::stable_sort(sorted.begin(), sorted.end(), above);
  std::vector<Band> bands;
  std::vector<const Region *> left, right;
  const auto flush = [&]() {
    if (side_by_side(left, right)) {
      add_band(&bands, 2, left, right);
    } else {
      left.insert(left.end(), right.begin(), right.end());
      std::stable_sort(left.begin(), left.end(), above);
      add_band(&bands, 1, left, {});
    }
    left.clear();
    right.clear();
  };
  for (const Region *region : sorted) {
    const Side side = side_of(region->box, page_width);
    if (side == Side::Left) {
      left.push_back(region);
    } else if (side == Side::Right) {
      right.push_back(region);
    } else {
      flush();
      add_band(&bands, 1, {region}, {});
    }
  }
  flush();
  return bands;
}

} // namespace recovery
} // namespace PaddleOCR

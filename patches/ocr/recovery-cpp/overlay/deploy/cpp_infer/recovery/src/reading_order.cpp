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

const int kMaxDepth = 24;

using Pieces = std::vector<const Region *>;

bool above(const Region *a, const Region *b) {
  return a->box.y1 != b->box.y1 ? a->box.y1 < b->box.y1 : a->box.x1 < b->box.x1;
}

Box around(const Pieces &pieces) {
  Box box = pieces[0]->box;
  for (const Region *piece : pieces)
    box = Box(std::min(box.x1, piece->box.x1), std::min(box.y1, piece->box.y1),
              std::max(box.x2, piece->box.x2), std::max(box.y2, piece->box.y2));
  return box;
}

class Cutter {
public:
  Cutter(float page_width, PageFlow flow)
      // boxes of a layout model touch and overlap a little
      : slack_x_(0.012f * page_width), slack_y_(0.006f * page_width),
        flow_(flow) {}

  std::vector<Band> bands(const Pieces &pieces, int depth) {
    std::vector<Band> out;
    cut(pieces, depth, &out);
    return out;
  }

private:
  // Groups of pieces between white lines, in order. Of each side of a box the
  // slack is taken, at most a tenth of the box.
  std::vector<Pieces> split(const Pieces &pieces, bool across) const {
    struct Span {
      float from, to;
      const Region *piece;
    };
    std::vector<Span> spans;
    for (const Region *piece : pieces) {
      const Box &box = piece->box;
      const float from = across ? box.x1 : box.y1,
                  to = across ? box.x2 : box.y2;
      const float slack =
          std::min(across ? slack_x_ : slack_y_, 0.1f * (to - from));
      spans.push_back(Span{from + slack, to - slack, piece});
    }
    std::stable_sort(
        spans.begin(), spans.end(),
        [](const Span &a, const Span &b) { return a.from < b.from; });
    std::vector<Pieces> groups;
    float end = 0;
    for (const Span &span : spans) {
      if (groups.empty() || span.from > end) {
        groups.emplace_back();
        end = span.to;
      }
      groups.back().push_back(span.piece);
      end = std::max(end, span.to);
    }
    return groups;
  }

  // A part that stands in one column of a band reads on from there when it is
  // as wide as that column; a short line in the middle or at the side of the
  // page is no part of the columns.
  bool fills_column(const Pieces &slab,
                    const std::vector<Pieces> &columns) const {
    const Box box = around(slab);
    const float left = around(columns.front()).x1;
    const float right = around(columns.back()).x2;
    for (const Pieces &column : columns) {
      const Box place = around(column);
      if (box.x2 <= place.x1 || box.x1 >= place.x2)
        continue;
      const bool inset =
          box.x1 > place.x1 + slack_x_ && box.x2 < place.x2 - slack_x_;
      const bool central =
          std::fabs(box.x1 + box.x2 - left - right) < 2 * slack_x_;
      return box.width() >= 0.6f * place.width() && !(inset && central);
    }
    return false;
  }

  bool side_by_side(const Pieces &slab, const std::vector<Pieces> &columns) {
    int reached = 0;
    const Box box = around(slab);
    for (const Pieces &column : columns) {
      const Box place = around(column);
      reached += box.x1 < place.x2 - slack_x_ && box.x2 > place.x1 + slack_x_;
    }
    return reached > 1;
  }

  void cut(const Pieces &pieces, int depth, std::vector<Band> *out) {
    if (pieces.empty())
      return;
    if (pieces.size() == 1 || depth >= kMaxDepth) {
      Pieces sorted = pieces;
      std::stable_sort(sorted.begin(), sorted.end(), above);
      add_single(sorted, out);
      return;
    }
    const std::vector<Pieces> slabs = split(pieces, false);
    for (size_t i = 0; i < slabs.size();) {
      const size_t end = run_of(slabs, &i, out, depth);
      if (end == i) { // no columns begin here
        cut_slab(slabs[i], depth, out);
        ++i;
        continue;
      }
      Pieces run;
      for (size_t k = i; k < end; ++k)
        run.insert(run.end(), slabs[k].begin(), slabs[k].end());
      add_columns(split(run, true), depth, out);
      i = end;
    }
  }

  // Three or more regions of one line beside each other: labels of pictures.
  // They are no columns that what stands below them belongs to.
  bool is_row(const Pieces &slab) const {
    float least = 1e30f;
    for (const Region *piece : slab)
      least = std::min(least, piece->box.height());
    return around(slab).height() < 1.6f * least &&
           split(slab, true).size() == slab.size() && slab.size() > 2;
  }

  // What a set of pieces covers of the width, as separate stretches.
  struct Cover {
    std::vector<std::pair<float, float>> stretches;
    void add(float from, float to) {
      std::vector<std::pair<float, float>> left;
      for (const auto &each : stretches)
        if (each.second < from || each.first > to) {
          left.push_back(each);
        } else {
          from = std::min(from, each.first);
          to = std::max(to, each.second);
        }
      left.emplace_back(from, to);
      stretches = std::move(left);
    }
  };

  Cover cover_of(const Pieces &pieces, Cover cover = Cover()) const {
    for (const Region *piece : pieces) {
      const float slack = std::min(slack_x_, 0.1f * piece->box.width());
      cover.add(piece->box.x1 + slack, piece->box.x2 - slack);
    }
    return cover;
  }

  // End of the longest run of slabs from `*i` that a gutter runs through. What
  // stands alone at its beginning is written first, and `*i` moves on.
  size_t run_of(const std::vector<Pieces> &slabs, size_t *i,
                std::vector<Band> *out, int depth) {
    Pieces run = slabs[*i];
    size_t end = *i + 1;
    Cover cover = cover_of(run);
    for (; end < slabs.size() && flow_ != PageFlow::VerticalText; ++end) {
      Cover longer = cover_of(slabs[end], cover);
      if (longer.stretches.size() < 2 ||
          (longer.stretches.size() < cover.stretches.size() && is_row(run)))
        break;
      cover = std::move(longer);
      run.insert(run.end(), slabs[end].begin(), slabs[end].end());
    }
    if (cover.stretches.size() < 2)
      return *i;
    const std::vector<Pieces> columns = split(run, true);
    size_t first = end, last = *i; // that stand side by side
    for (size_t k = *i; k < end; ++k)
      if (side_by_side(slabs[k], columns)) {
        first = std::min(first, k);
        last = k + 1;
      }
    if (first == end)
      return *i;
    while (first > *i && fills_column(slabs[first - 1], columns))
      --first;
    while (last < end && fills_column(slabs[last], columns))
      ++last;
    for (; *i < first; ++*i)
      cut_slab(slabs[*i], depth, out);
    return last;
  }

  void cut_slab(const Pieces &slab, int depth, std::vector<Band> *out) {
    if (slab.size() == 1)
      return add_single(slab, out);
    const std::vector<Pieces> columns = split(slab, true);
    if (columns.size() > 1)
      return add_columns(columns, depth, out);
    cut_around(slab, depth, out);
  }

  // No white line crosses the part. One region may reach over the gutter: what
  // is above it, the region, what is below it.
  void cut_around(const Pieces &slab, int depth, std::vector<Band> *out) {
    Pieces wide = slab;
    std::stable_sort(wide.begin(), wide.end(),
                     [](const Region *a, const Region *b) {
                       return a->box.width() > b->box.width();
                     });
    for (size_t k = 0; k < wide.size() && k < 8; ++k) {
      Pieces rest, before, after;
      const float middle = (wide[k]->box.y1 + wide[k]->box.y2) / 2;
      for (const Region *piece : slab)
        if (piece != wide[k]) {
          rest.push_back(piece);
          const float place = (piece->box.y1 + piece->box.y2) / 2;
          (place < middle ? before : after).push_back(piece);
        }
      if (split(rest, true).size() < 2 && split(rest, false).size() < 2)
        continue;
      cut(before, depth + 1, out);
      add_single({wide[k]}, out);
      cut(after, depth + 1, out);
      return;
    }
    Pieces sorted = slab;
    std::stable_sort(sorted.begin(), sorted.end(), above);
    add_single(sorted, out);
  }

  void add_single(const Pieces &pieces, std::vector<Band> *out) const {
    if (out->empty() || out->back().columns != 1)
      out->push_back(Band{1, {around(pieces)}, {}});
    Box &place = out->back().places[0];
    for (const Region *piece : pieces) {
      out->back().regions.push_back(Placed{piece, 0});
      place = Box(
          std::min(place.x1, piece->box.x1), std::min(place.y1, piece->box.y1),
          std::max(place.x2, piece->box.x2), std::max(place.y2, piece->box.y2));
    }
  }

  void add_columns(std::vector<Pieces> columns, int depth,
                   std::vector<Band> *out) {
    if (flow_ != PageFlow::LeftToRight)
      std::reverse(columns.begin(), columns.end());
    if (flow_ == PageFlow::VerticalText) { // written as lines, in one column
      for (const Pieces &column : columns)
        for (const Band &band : bands(column, depth + 1))
          for (const Placed &placed : band.regions)
            add_single({placed.region}, out);
      return;
    }
    Band made{static_cast<int>(columns.size()), {}, {}};
    for (size_t c = 0; c < columns.size(); ++c) {
      made.places.push_back(around(columns[c]));
      for (const Band &band : bands(columns[c], depth + 1))
        for (const Placed &placed : band.regions)
          made.regions.push_back(Placed{placed.region, static_cast<int>(c)});
    }
    out->push_back(std::move(made));
  }

  const float slack_x_, slack_y_;
  const PageFlow flow_;
};

} // namespace

std::vector<Band> reading_order(const std::vector<const Region *> &regions,
                                float page_width, PageFlow flow) {
  return Cutter(page_width, flow).bands(regions, 0);
}

} // namespace recovery
} // namespace PaddleOCR

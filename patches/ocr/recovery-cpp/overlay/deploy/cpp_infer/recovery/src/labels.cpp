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

#include "labels.h"

#include <include/recovery/document.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace PaddleOCR {
namespace recovery {

Kind kind_of(const std::string &type) {
  static const std::map<std::string, Kind> known = {
      {"doc_title", Kind::DocumentTitle},
      {"title", Kind::Title},
      {"paragraph_title", Kind::Title},
      {"list", Kind::List},
      {"reference", Kind::List},
      {"references", Kind::List},
      {"reference_content", Kind::List},
      {"table", Kind::Table},
      {"figure", Kind::Figure},
      {"image", Kind::Figure},
      {"seal", Kind::Figure},
      {"chart", Kind::Figure},
      {"header_image", Kind::Figure},
      {"footer_image", Kind::Figure},
      {"figure_title", Kind::Caption},
      {"table_title", Kind::Caption},
      {"chart_title", Kind::Caption},
      {"figure_table_chart_title", Kind::Caption},
      {"vision_footnote", Kind::Caption},
      {"header", Kind::Header},
      {"footer", Kind::Footer},
      {"page_number", Kind::Footer},
      {"number", Kind::Footer},
      {"equation", Kind::Equation},
      {"formula", Kind::Equation},
      {"footnote", Kind::Footnote},
      {"algorithm", Kind::Code}};
  const auto found = known.find(type);
  if (found != known.end())
    return found->second;
  return type.find("caption") != std::string::npos ? Kind::Caption : Kind::Text;
}

std::string place_of(const Page &page, const Region &region) {
  const auto whole = [](float v) {
    return std::to_string(static_cast<long long>(v));
  };
  return "page " + std::to_string(page.index) + ", " + region.type + " at [" +
         whole(region.box.x1) + ", " + whole(region.box.y1) + ", " +
         whole(region.box.x2) + ", " + whole(region.box.y2) + "]";
}

bool is_text(Kind kind) {
  return kind != Kind::Table && kind != Kind::Figure && kind != Kind::Equation;
}

namespace {

float area(const Box &box) {
  return std::max(0.0f, box.width()) * std::max(0.0f, box.height());
}

float common(const Box &a, const Box &b) {
  const float w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  return w > 0 && h > 0 ? w * h : 0;
}

// Share of the smaller box that lies in the other one.
float inside(const Box &a, const Box &b) {
  const float least = std::min(area(a), area(b));
  return least > 0 ? common(a, b) / least : 0;
}

float iou(const Box &a, const Box &b) {
  const float both = common(a, b), all = area(a) + area(b) - both;
  return all > 0 ? both / all : 0;
}

bool box_of(const TextLine &line, Box *box) {
  if (line.quad.empty())
    return false;
  *box = Box(line.quad[0].x, line.quad[0].y, line.quad[0].x, line.quad[0].y);
  for (const Point &p : line.quad)
    *box = Box(std::min(box->x1, p.x), std::min(box->y1, p.y),
               std::max(box->x2, p.x), std::max(box->y2, p.y));
  return true;
}

// How often each byte that is not white occurs.
std::vector<int> bag_of(const std::string &text) {
  std::vector<int> bag(256, 0);
  for (unsigned char c : text)
    if (c > ' ')
      ++bag[c];
  return bag;
}

bool has_cells(const Region &region) {
  return region.html.find("<td") != std::string::npos ||
         region.html.find("<th") != std::string::npos ||
         region.html.find("<TD") != std::string::npos;
}

// Does the table show this line? Its characters must be there.
bool shows(const std::vector<int> &table, const std::string &line) {
  const std::vector<int> want = bag_of(line);
  int total = 0, there = 0;
  for (int c = 0; c < 256; ++c) {
    total += want[c];
    there += std::min(want[c], table[c]);
  }
  return there >= 0.8f * total;
}

// Of two regions with the same lines: the more particular label has them.
int rank(Kind kind) {
  switch (kind) {
  case Kind::DocumentTitle:
  case Kind::Title:
    return 4;
  case Kind::Caption:
  case Kind::Footnote:
    return 3;
  case Kind::Header:
  case Kind::Footer:
    return 2;
  case Kind::List:
  case Kind::Code:
    return 1;
  default:
    return 0;
  }
}

class Assigner {
public:
  Assigner(Page *page, std::vector<std::string> *warnings)
      : page_(*page), warnings_(*warnings), gone_(page->regions.size(), false),
        taken_(page->regions.size()) {
    for (const Region &region : page->regions)
      kinds_.push_back(kind_of(region.type));
  }

  void run() {
    const std::vector<std::pair<size_t, size_t>> pairs = meeting();
    for (const auto &pair : pairs) // pictures and tables first
      if (!is_text(kinds_[pair.first]) || !is_text(kinds_[pair.second]))
        part(pair.first, pair.second);
    for (const auto &pair : pairs)
      if (is_text(kinds_[pair.first]) && is_text(kinds_[pair.second]))
        share_lines(pair.first, pair.second);
    std::vector<Region> kept;
    for (size_t i = 0; i < page_.regions.size(); ++i)
      if (!gone_[i])
        keep(i, &kept);
    page_.regions = std::move(kept);
  }

private:
  // Pairs of regions that overlap, by a sweep from the top.
  std::vector<std::pair<size_t, size_t>> meeting() const {
    const std::vector<Region> &regions = page_.regions;
    std::vector<size_t> order(regions.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return regions[a].box.y1 < regions[b].box.y1;
    });
    std::vector<std::pair<size_t, size_t>> pairs;
    std::vector<size_t> open;
    for (size_t i : order) {
      size_t left = 0;
      for (size_t k : open) {
        if (regions[k].box.y2 <= regions[i].box.y1)
          continue;
        open[left++] = k;
        if (common(regions[k].box, regions[i].box) > 0)
          pairs.emplace_back(std::min(i, k), std::max(i, k));
      }
      open.resize(left);
      open.push_back(i);
    }
    std::sort(pairs.begin(), pairs.end());
    return pairs;
  }

  Region &at(size_t i) { return page_.regions[i]; }

  bool surer(size_t a, size_t b) {
    if (at(a).score != at(b).score)
      return at(a).score > at(b).score;
    if (area(at(a).box) != area(at(b).box))
      return area(at(a).box) > area(at(b).box);
    return a < b;
  }

  // Lines of `from` that lie in the box of `to`.
  std::vector<size_t> lines_in(size_t from, size_t to) {
    std::vector<size_t> found;
    Box box;
    for (size_t l = 0; l < at(from).lines.size(); ++l)
      if (box_of(at(from).lines[l], &box)
              ? common(box, at(to).box) > 0.7f * area(box)
              : inside(at(from).box, at(to).box) > 0.8f)
        found.push_back(l);
    return found;
  }

  void remove_lines(size_t i, const std::vector<size_t> &which, size_t by) {
    std::vector<TextLine> left;
    size_t k = 0;
    for (size_t l = 0; l < at(i).lines.size(); ++l)
      if (k < which.size() && which[k] == l)
        ++k;
      else
        left.push_back(at(i).lines[l]);
    at(i).lines = std::move(left);
    if (!which.empty())
      taken_[i].push_back(at(by).box);
  }

  // A pair of which one is a table, a picture or an equation.
  void part(size_t i, size_t j) {
    if (gone_[i] || gone_[j])
      return;
    const bool twice = inside(at(i).box, at(j).box) > 0.8f;
    if (is_text(kinds_[i]) || is_text(kinds_[j])) {
      const size_t text = is_text(kinds_[i]) ? i : j, other = i + j - text;
      if (kinds_[other] == Kind::Table)
        part_table(text, other);
      else
        part_picture(text, other);
      return;
    }
    if (!twice)
      return;
    if (kinds_[i] == kinds_[j]) {
      const bool same = iou(at(i).box, at(j).box) > 0.5f;
      const bool first = has_cells(at(i)) != has_cells(at(j)) ? has_cells(at(i))
                         : same                               ? surer(i, j)
                                : area(at(i).box) >= area(at(j).box);
      gone_[first ? j : i] = true;
      return;
    }
    if (iou(at(i).box, at(j).box) > 0.6f) { // one thing, two labels
      const size_t table = kinds_[i] == Kind::Table   ? i
                           : kinds_[j] == Kind::Table ? j
                                                      : page_.regions.size();
      if (table < page_.regions.size() && has_cells(at(table)))
        gone_[i + j - table] = true;
      else
        gone_[surer(i, j) ? j : i] = true;
    }
  }

  void part_table(size_t text, size_t table) {
    if (!has_cells(at(table)))
      return; // its text is not known
    std::vector<size_t> which;
    const std::vector<int> bag = bag_of(table_text(at(table).html));
    for (size_t l : lines_in(text, table))
      if (shows(bag, at(text).lines[l].text))
        which.push_back(l);
    remove_lines(text, which, table);
  }

  void part_picture(size_t text, size_t picture) {
    const std::vector<size_t> which = lines_in(text, picture);
    if (which.empty()) {
      if (at(text).lines.empty() &&
          inside(at(text).box, at(picture).box) > 0.8f)
        gone_[text] = true; // a crop of the same
      return;
    }
    if (kinds_[picture] == Kind::Figure) {
      if (at(picture).image.empty())
        return; // nothing shows the text
      float filled = 0;
      Box box;
      for (size_t l : which)
        if (box_of(at(text).lines[l], &box))
          filled += area(box);
      covered_[picture] += filled;
      if (covered_[picture] > 0.35f * area(at(picture).box)) {
        warnings_.push_back(place_of(page_, at(picture)) +
                            ": text fills it; written as text");
        gone_[picture] = true;
        return;
      }
    } else if (at(picture).latex.empty() && at(picture).image.empty() &&
               at(picture).lines.empty()) {
      return;
    }
    if (at(picture).lines.empty())
      for (size_t l : which)
        at(picture).lines.push_back(at(text).lines[l]);
    remove_lines(text, which, picture);
  }

  // Which of two regions of text has the lines that both found?
  bool first_owns(size_t i, size_t j) {
    const int a = rank(kinds_[i]), b = rank(kinds_[j]);
    if (iou(at(i).box, at(j).box) > 0.8f && at(i).score != at(j).score)
      return at(i).score > at(j).score;
    if (a != b)
      return a > b;
    return area(at(i).box) >= area(at(j).box);
  }

  // Lines of two regions that are the same on the page form groups; of each
  // group one region's lines stay.
  void share_lines(size_t i, size_t j) {
    if (gone_[i] || gone_[j])
      return;
    std::vector<TextLine> &a = at(i).lines, &b = at(j).lines;
    const bool nested = inside(at(i).box, at(j).box) > 0.8f;
    if (nested && (a.empty() || b.empty())) { // a crop of what the other reads
      if (a.empty() != b.empty() || !a.empty())
        gone_[a.empty() ? i : j] = true;
      return;
    }
    std::vector<size_t> group(a.size() + b.size());
    std::iota(group.begin(), group.end(), 0);
    const auto root = [&](size_t k) {
      while (group[k] != k)
        k = group[k] = group[group[k]];
      return k;
    };
    std::vector<char> shared(group.size(), 0);
    Box one, two;
    for (size_t k = 0; k < a.size(); ++k)
      for (size_t l = 0; l < b.size(); ++l) {
        const bool boxes = box_of(a[k], &one);
        if (boxes != box_of(b[l], &two))
          continue;
        if (boxes ? inside(one, two) > 0.6f && same_height(one, two)
                  : nested && a[k].text == b[l].text) {
          shared[k] = shared[a.size() + l] = 1;
          group[root(k)] = root(a.size() + l);
        }
      }
    std::map<size_t, std::pair<size_t, size_t>> letters; // of either side
    for (size_t k = 0; k < group.size(); ++k)
      if (shared[k]) {
        const std::string &text =
            k < a.size() ? a[k].text : b[k - a.size()].text;
        (k < a.size() ? letters[root(k)].first : letters[root(k)].second) +=
            text.size() - std::count(text.begin(), text.end(), ' ');
      }
    if (letters.empty())
      return;
    const bool first = first_owns(i, j);
    std::vector<size_t> from_a, from_b;
    std::vector<TextLine> to_a, to_b;
    for (size_t k = 0; k < group.size(); ++k) {
      if (!shared[k])
        continue;
      const bool in_a = k < a.size();
      const auto &length = letters[root(k)];
      // the edge of a crop cuts lines, and a detector misses some: the longer
      // reading counts
      const bool longer_a = length.first > 1.02f * length.second;
      const bool longer_b = length.second > 1.02f * length.first;
      const bool keep_a = longer_a || (first && !longer_b);
      if (in_a && (!keep_a || !first)) {
        from_a.push_back(k);
        if (keep_a)
          to_b.push_back(a[k]);
      }
      if (!in_a && (keep_a || first)) {
        from_b.push_back(k - a.size());
        if (!keep_a)
          to_a.push_back(b[k - a.size()]);
      }
    }
    // lines that only change their text are not taken from a region
    const size_t holes_a = taken_[i].size(), holes_b = taken_[j].size();
    remove_lines(i, from_a, j);
    remove_lines(j, from_b, i);
    a.insert(a.end(), to_a.begin(), to_a.end());
    b.insert(b.end(), to_b.begin(), to_b.end());
    if (first)
      taken_[i].resize(holes_a);
    else
      taken_[j].resize(holes_b);
  }

  static bool same_height(const Box &a, const Box &b) {
    const float both = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    return both > 0.6f * std::min(a.height(), b.height());
  }

  // The region, or its parts above and below what was taken out of it.
  void keep(size_t i, std::vector<Region> *out) {
    Region &region = at(i);
    if (taken_[i].empty()) {
      out->push_back(std::move(region));
      return;
    }
    if (region.lines.empty()) {
      if (!region.html.empty() || !region.latex.empty())
        out->push_back(std::move(region));
      return; // all of it stands in other regions
    }
    std::map<size_t, std::vector<TextLine>> parts;
    Box box;
    for (TextLine &line : region.lines) {
      size_t part = 0;
      if (box_of(line, &box))
        for (const Box &hole : taken_[i])
          part += (box.y1 + box.y2) / 2 > (hole.y1 + hole.y2) / 2;
      parts[part].push_back(std::move(line));
    }
    for (auto &part : parts) {
      Region made = region;
      made.lines = std::move(part.second);
      bool any = false;
      for (const TextLine &line : made.lines)
        if (box_of(line, &box)) {
          made.box = any ? Box(std::min(made.box.x1, box.x1),
                               std::min(made.box.y1, box.y1),
                               std::max(made.box.x2, box.x2),
                               std::max(made.box.y2, box.y2))
                         : box;
          any = true;
        }
      out->push_back(std::move(made));
    }
  }

  Page &page_;
  std::vector<std::string> &warnings_;
  std::vector<char> gone_;
  std::vector<std::vector<Box>> taken_; // boxes of what has its lines now
  std::vector<Kind> kinds_;
  std::map<size_t, float> covered_; // area of a picture that lines fill
};

} // namespace

std::vector<TextLine> lines_without(const std::vector<TextLine> &lines,
                                    const std::string &text) {
  std::vector<int> bag = bag_of(text);
  std::vector<TextLine> missing;
  for (const TextLine &line : lines) {
    if (!shows(bag, line.text)) {
      missing.push_back(line);
      continue;
    }
    const std::vector<int> taken = bag_of(line.text);
    for (int c = 0; c < 256; ++c)
      bag[c] = std::max(0, bag[c] - taken[c]);
  }
  return missing;
}

void assign_lines(Page *page, std::vector<std::string> *warnings) {
  Assigner(page, warnings).run();
}

} // namespace recovery
} // namespace PaddleOCR

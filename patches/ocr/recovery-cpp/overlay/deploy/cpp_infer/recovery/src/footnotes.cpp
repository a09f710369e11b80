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

#include "footnotes.h"
#include "utf8.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace PaddleOCR {
namespace recovery {

namespace {

using Codes = std::vector<uint32_t>;

bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }

bool is_word(uint32_t c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Digit of a raised one, or -1.
int raised_digit(uint32_t c) {
  return c == 0xB9                    ? 1
         : c == 0xB2 || c == 0xB3     ? static_cast<int>(c - 0xB0)
         : c == 0x2070                ? 0
         : c >= 0x2074 && c <= 0x2079 ? static_cast<int>(c - 0x2070)
                                      : -1;
}

struct Mark {
  std::string key;  // marks that mean the same have the same
  std::string text; // as it is written
  bool raise;       // the text does not show by itself that it is raised
  size_t end;       // in code points
};

bool equal_at(const Codes &c, size_t i, const char *ascii) {
  for (; *ascii; ++ascii, ++i)
    if (i >= c.size() || c[i] != static_cast<unsigned char>(*ascii))
      return false;
  return true;
}

// What stands between `open` and `close` at `i`, where it is a number.
bool enclosed(const Codes &c, size_t i, const char *open, const char *close,
              std::string *number, size_t *end) {
  if (!equal_at(c, i, open))
    return false;
  i += std::string(open).size();
  number->clear();
  while (i < c.size() && is_digit(c[i]) && number->size() < 3)
    *number += static_cast<char>(c[i++]);
  *end = i + std::string(close).size();
  return !number->empty() && equal_at(c, i, close);
}

// The mark at code point `i`. A bare number is a mark only where a note begins
// (`note`): in the text it could be anything.
bool mark_at(const Codes &c, size_t i, bool note, Mark *mark) {
  std::string number;
  size_t end = i;
  for (; end < c.size() && raised_digit(c[end]) >= 0; ++end)
    number += static_cast<char>('0' + raised_digit(c[end]));
  if (end > i) {
    *mark = Mark{"^" + number, encode_utf8({c.begin() + i, c.begin() + end}),
                 false, end};
    return true;
  }
  for (const auto &way :
       {std::make_pair("$^{", "}$"), // of formula models
        std::make_pair("$^", "$"), std::make_pair("<sup>", "</sup>")})
    if (enclosed(c, i, way.first, way.second, &number, &end)) {
      *mark = Mark{"^" + number, number, true, end};
      return true;
    }
  if (enclosed(c, i, "[", "]", &number, &end)) {
    *mark = Mark{"[" + number, "[" + number + "]", false, end};
    return true;
  }
  if (c[i] >= 0x2460 && c[i] <= 0x2473) { // circled numbers
    const std::string text = encode_utf8({c[i]});
    *mark = Mark{text, text, false, i + 1};
    return true;
  }
  if (c[i] == '*' || c[i] == 0x2020 || c[i] == 0x2021) { // daggers
    for (end = i; end < c.size() && c[end] == c[i]; ++end)
      ;
    const std::string text = encode_utf8({c.begin() + i, c.begin() + end});
    *mark = Mark{text, text, false, end};
    return end - i <= 3 && (note || c[i] != '*' || end >= c.size() ||
                            !is_word(c[end])); // else a product
  }
  for (end = i; note && end < c.size() && is_digit(c[end]); ++end)
    number += static_cast<char>(c[end]);
  if (end > i && number.size() <= 3 && number[0] != '0' && end < c.size() &&
      (c[end] == ' ' || is_cjk(c[end]) || is_word(c[end]))) {
    *mark = Mark{"^" + number, number, true, end};
    return true;
  }
  return false;
}

struct Place {
  Paragraph *paragraph;
  size_t run, from; // in code points of the run
  Mark mark;
  int count; // how often the page has this mark
};

// Does a raised number at `i` belong to a unit or a formula, as in m2, x2?
bool is_power(const Codes &c, size_t i) {
  size_t letters = 0;
  while (letters < i && is_word(c[i - letters - 1]))
    ++letters;
  return letters > 0 && (letters <= 2 || is_digit(c[i - 1]));
}

// Marks in the text of a paragraph. What stands first is a mark of a list.
void find_marks(Paragraph *paragraph, std::map<std::string, Place> *found) {
  for (size_t r = 0; r < paragraph->runs.size(); ++r) {
    const Codes c = decode_utf8(paragraph->runs[r].text);
    for (size_t i = r == 0 ? 1 : 0; i < c.size();) {
      Mark mark;
      const uint32_t before = i > 0 ? c[i - 1] : 0;
      if (before == c[i] || (before == ' ' && c[i] == '*') ||
          !mark_at(c, i, false, &mark) ||
          (mark.key[0] == '^' && is_power(c, i))) {
        ++i;
        continue;
      }
      const int count = (*found)[mark.key].count + 1;
      (*found)[mark.key] = Place{paragraph, r, i, mark, count};
      i = mark.end;
    }
  }
}

// A run -> what stands before the mark, the mark, what stands behind it.
void cut_out(std::vector<Run> *runs, size_t run, size_t from, const Mark &mark,
             int note) {
  const Run whole = (*runs)[run];
  const Codes c = decode_utf8(whole.text);
  Run before = whole, sign = whole, behind = whole;
  before.text = encode_utf8({c.begin(), c.begin() + from});
  sign.text = mark.text;
  sign.superscript = mark.raise;
  sign.note = note;
  behind.text = encode_utf8({c.begin() + mark.end, c.end()});
  std::vector<Run> parts;
  for (const Run &part : {before, sign, behind})
    if (!part.text.empty())
      parts.push_back(part);
  runs->erase(runs->begin() + run);
  runs->insert(runs->begin() + run, parts.begin(), parts.end());
}

bool is_note(const Block &block) {
  return block.kind == BlockKind::Paragraph &&
         block.paragraph.kind == ParagraphKind::Footnote;
}

// The sections [from, to) are those of one page.
void link_page(Document *document, size_t from, size_t to) {
  std::map<std::string, Place> marks; // in the text
  std::map<std::string, int> notes;   // how many begin with the same mark
  std::vector<Block *> blocks;
  for (size_t s = from; s < to; ++s)
    for (Block &block : document->sections[s].blocks)
      if (block.kind == BlockKind::Paragraph)
        blocks.push_back(&block);
  const auto mark_of_note = [](const Block &block, Mark *mark) {
    const Codes codes = decode_utf8(plain_text(block.paragraph.runs) + " ");
    return is_note(block) && mark_at(codes, 0, true, mark);
  };
  Mark mark;
  for (Block *block : blocks) {
    if (!is_note(*block))
      find_marks(&block->paragraph, &marks);
    else if (mark_of_note(*block, &mark))
      ++notes[mark.key];
  }
  std::vector<std::pair<Place, int>> linked;
  for (Block *block : blocks) {
    if (!mark_of_note(*block, &mark) || notes[mark.key] != 1 ||
        marks.count(mark.key) != 1 || marks[mark.key].count != 1)
      continue;
    document->notes.push_back(block->paragraph);
    Paragraph &note = document->notes.back();
    note.indent_first = false;
    cut_out(&note.runs, 0, 0, mark, 0);
    linked.emplace_back(marks[mark.key],
                        static_cast<int>(document->notes.size()));
    block->paragraph.runs.clear(); // to be removed
  }
  // from the end, so that the places before it stay where they are
  std::sort(linked.begin(), linked.end(),
            [](const std::pair<Place, int> &a, const std::pair<Place, int> &b) {
              return std::tie(a.first.run, a.first.from) >
                     std::tie(b.first.run, b.first.from);
            });
  for (const auto &each : linked)
    cut_out(&each.first.paragraph->runs, each.first.run, each.first.from,
            each.first.mark, each.second);
  for (size_t s = from; s < to; ++s) {
    std::vector<Block> &all = document->sections[s].blocks;
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](const Block &block) {
                               return is_note(block) &&
                                      block.paragraph.runs.empty();
                             }),
              all.end());
  }
}

} // namespace

std::vector<TextFlow> split_notes(const TextFlow &flow) {
  std::vector<TextFlow> notes;
  for (const Row &row : flow.rows) {
    Mark mark;
    if (notes.empty() || mark_at(decode_utf8(row.text), 0, true, &mark)) {
      notes.push_back(flow);
      notes.back().rows.clear();
    }
    notes.back().rows.push_back(row);
  }
  return notes;
}

void link_footnotes(Document *document) {
  std::vector<int> &pages = document->section_page;
  for (size_t from = 0; from < pages.size();) {
    size_t to = from;
    while (to < pages.size() && pages[to] == pages[from])
      ++to;
    link_page(document, from, to);
    from = to;
  }
  for (size_t s = 0; s < pages.size();) { // a section of nothing but footnotes
    std::vector<Section> &sections = document->sections;
    if (sections[s].blocks.empty() && !sections[s].starts_page) {
      sections.erase(sections.begin() + s);
      pages.erase(pages.begin() + s);
    } else {
      ++s;
    }
  }
}

} // namespace recovery
} // namespace PaddleOCR

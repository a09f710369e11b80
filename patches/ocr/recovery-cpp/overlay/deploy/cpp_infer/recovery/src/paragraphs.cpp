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

bool is_digit(uint32_t c) { return c >= '0' && c <= '9'; }
bool is_letter(uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_bullet(uint32_t c) {
  switch (c) {
  case 0x2022: // bullet
  case 0x25CF:
  case 0x25CB:
  case 0x25A0:
  case 0x25AA:
  case 0x25C6:
  case 0x2605:
  case 0x27A2:
  case 0x00B7:
    return true;
  default:
    return false;
  }
}

struct Mark {
  ListKind kind;
  std::string pattern; // the bullet, or "(%1)", "%1.", ...; empty: a letter
  int number;
  size_t bytes; // with the spaces behind it
};

// "- x", "1. x", "(2) x", "[3] x", "a) x", a bullet, or a Chinese number and
// its comma.
Mark mark_of(const std::string &text) {
  const Mark none = {ListKind::None, "", 0, 0};
  const std::vector<uint32_t> c = decode_utf8(text.substr(0, 64));
  const auto made = [&](ListKind kind, size_t codes, const std::string &pattern,
                        int number) {
    while (codes < c.size() && (c[codes] == ' ' || c[codes] == 0x3000))
      ++codes;
    const std::vector<uint32_t> mark(c.begin(), c.begin() + codes);
    return Mark{kind, pattern, number, encode_utf8(mark).size()};
  };
  const auto piece = [&](size_t from, size_t to) {
    return encode_utf8({c.begin() + from, c.begin() + to});
  };
  if (c.empty())
    return none;
  if (c[0] >= 0x2460 && c[0] <= 0x2473) // circled number: stays in the text
    return made(ListKind::Bullet, 1, "", 0);
  if (is_bullet(c[0]) || ((c[0] == '-' || c[0] == '*' || c[0] == 0x2013) &&
                          c.size() > 1 && c[1] == ' '))
    return made(ListKind::Bullet, 1, piece(0, 1), 0);
  const bool open =
      c[0] == '(' || c[0] == '[' || c[0] == 0xFF08 || c[0] == 0x3010;
  size_t i = open ? 1 : 0, first = i;
  int number = 0;
  while (i < c.size() && i - first < 3 && is_digit(c[i]))
    number = number * 10 + static_cast<int>(c[i++] - '0');
  const bool decimal = i > first && (c[first] != '0' || i == first + 1);
  if (i == first && i < c.size() && is_letter(c[i]))
    ++i;
  static const std::vector<uint32_t> chinese = decode_utf8(
      "\xE4\xB8\x80\xE4\xBA\x8C\xE4\xB8\x89\xE5\x9B\x9B\xE4\xBA\x94"
      "\xE5\x85\xAD\xE4\xB8\x83\xE5\x85\xAB\xE4\xB9\x9D\xE5\x8D\x81");
  if (i == first)
    while (i < c.size() && i - first < 3 &&
           std::find(chinese.begin(), chinese.end(), c[i]) != chinese.end())
      ++i;
  if (i == first || i >= c.size())
    return none;
  const auto numbered = [&]() {
    const std::string pattern =
        decimal ? piece(0, first) + "%1" + piece(i, i + 1) : std::string();
    return made(ListKind::Number, i + 1, pattern, number);
  };
  if (open)
    return c[i] == ')' || c[i] == ']' || c[i] == 0xFF09 || c[i] == 0x3011
               ? numbered()
               : none;
  if (c[i] == 0x3001) // ideographic comma
    return numbered();
  const bool closes =
      c[i] == '.' || c[i] == ')' || c[i] == 0xFF09 || c[i] == 0xFF0E;
  return closes && i + 1 < c.size() && !is_digit(c[i + 1]) &&
                 (c[i + 1] == ' ' || is_cjk(c[i + 1]) || c[i] != '.')
             ? numbered()
             : none;
}

bool ends_sentence(const std::string &text) {
  const std::vector<uint32_t> c = decode_utf8(text);
  for (size_t i = c.size(); i-- > 0;) {
    switch (c[i]) {
    case '"':
    case '\'':
    case ')':
    case ']':
    case 0x201D:
    case 0x2019:
    case 0xFF09:
    case 0x300D:
      continue; // closes after the full stop
    case '.':
    case '!':
    case '?':
    case ':':
    case ';':
    case 0x3002:
    case 0xFF01:
    case 0xFF1F:
    case 0xFF1A:
    case 0xFF1B:
    case 0x2026:
    case 0x061F: // Arabic question mark
      return true;
    default:
      return false;
    }
  }
  return false;
}

float typical_pitch(const std::vector<Row> &rows) {
  std::vector<float> pitch;
  for (size_t i = 1; i < rows.size(); ++i)
    pitch.push_back(
        (rows[i].v1 + rows[i].v2 - rows[i - 1].v1 - rows[i - 1].v2) / 2);
  if (pitch.empty())
    return 0;
  // lower quartile: gaps between paragraphs do not count
  std::sort(pitch.begin(), pitch.end());
  return pitch[pitch.size() / 4];
}

// Does a paragraph begin at rows[i]?
bool begins(const TextFlow &flow, size_t i, float pitch, bool hanging) {
  const std::vector<Row> &rows = flow.rows;
  const Row &row = rows[i], &last = rows[i - 1];
  if (row.height == 0 && last.height == 0)
    return true; // nothing is known of where they stand
  const float h = std::max(1.0f, flow.height);
  const float width = flow.right - flow.left;
  const float tallest = std::max(row.height, last.height);
  if (tallest > 1.6f * std::max(1.0f, std::min(row.height, last.height)))
    return true;
  const float step = (row.v1 + row.v2 - last.v1 - last.v2) / 2;
  if (rows.size() >= 3 ? step > 1.45f * pitch && step > 1.3f * h
                       : row.v1 - last.v2 > h)
    return true;
  const ListKind mark = mark_of(row.text).kind;
  if (mark == ListKind::Bullet || (hanging && mark == ListKind::Number))
    return true;
  const bool ended = ends_sentence(last.text);
  if (mark == ListKind::Number && ended)
    return true;
  const float space = flow.right - last.u2;
  if (width > 8 * h) {
    if (ended && space > std::max(2 * h, 0.12f * width))
      return true;
    if (!hanging && space > 0.4f * width)
      return true;
  }
  if (hanging)
    return false;
  const bool indented = row.u1 - flow.left > 0.8f * h;
  const bool last_indented = last.u1 - flow.left > 0.5f * h;
  const bool centred = flow.right - row.u2 > h &&
                       std::fabs(row.u1 - flow.left - flow.right + row.u2) < h;
  const bool next_back =
      i + 1 >= rows.size() || rows[i + 1].u1 - flow.left < 0.5f * h;
  return indented && !last_indented && !centred && next_back;
}

// Width of a character in em, between that of Times and of Helvetica.
float em_width(uint32_t code) {
  if (is_cjk(code))
    return 1;
  if ((code >= 0x300 && code < 0x370) || (code >= 0x64B && code < 0x660))
    return 0; // stands on the letter before it
  if (code >= 0x80)
    return 0.45f;
  const char c = static_cast<char>(code);
  if (std::string(" .,:;!'|ijlt").find(c) != std::string::npos)
    return 0.27f;
  if (std::string("()[]/-\"I`fr").find(c) != std::string::npos)
    return 0.33f;
  if (std::string("MW@%mw").find(c) != std::string::npos)
    return 0.83f;
  return c >= 'A' && c <= 'Z' ? 0.66f : 0.5f;
}

// Size of the type in pixels. The boxes of PP-OCRv4 are 0.8 (ideographs) to 1.1
// (Latin) times as high, those of short texts up to 1.4 times. The detector
// widens them, too, but less: a line cannot be larger than its width allows.
float type_size(const Row &row) {
  float wide = 0, total = 0, count = 0; // in em
  for (uint32_t code : decode_utf8(row.text)) {
    wide += is_cjk(code);
    total += em_width(code);
    count += is_cjk(code) ? 1.0f : 0.5f;
  }
  if (!(total > 0))
    return row.height;
  const uint32_t last = decode_utf8(row.text).back();
  if (last == 0x3001 || last == 0x3002 || last == 0xFF0C)
    total -= 0.5f; // its right half is white
  const float share = wide / count;
  const float size = row.height * (0.9f + 0.3f * share);
  const float fits = (row.u2 - row.u1 - 0.15f * row.height) / total;
  return std::max(0.65f * row.height, std::min(size, fits));
}

float row_size(const std::vector<Row> &rows, size_t from, size_t to) {
  std::vector<float> heights;
  for (size_t i = from; i < to; ++i)
    heights.push_back(type_size(rows[i]));
  std::sort(heights.begin(), heights.end());
  return heights.empty() ? 0 : heights[(heights.size() - 1) / 2];
}

Paragraph paragraph_of(const TextFlow &flow, size_t from, size_t to) {
  Paragraph paragraph;
  std::string text;
  for (size_t i = from; i < to; ++i)
    text = i == from ? flow.rows[i].text : join_lines(text, flow.rows[i].text);
  paragraph.runs.push_back(Run(text));
  paragraph.right_to_left = mostly_right_to_left(text);
  // pixels for now: the page's scale makes points of it
  paragraph.font_size = row_size(flow.rows, from, to);
  paragraph.line_pitch = typical_pitch(
      std::vector<Row>(flow.rows.begin() + from, flow.rows.begin() + to));
  paragraph.indent_first =
      to - from > 1 &&
      flow.rows[from].u1 - flow.rows[from + 1].u1 > 0.8f * flow.height;
  return paragraph;
}

} // namespace

std::string join_lines(const std::string &above, const std::string &below) {
  if (above.empty() || below.empty())
    return above + below;
  const std::vector<uint32_t> a = decode_utf8(above), b = decode_utf8(below);
  const uint32_t last = a.back(), first = b.front();
  if ((last == '-' || last == 0x2010) && a.size() >= 2 &&
      is_letter(a[a.size() - 2]) && first >= 'a' && first <= 'z')
    return above.substr(0, above.size() - (last == '-' ? 1 : 3)) + below;
  if (last == 0xAD) // soft hyphen
    return above.substr(0, above.size() - 2) + below;
  if (no_space(last) || no_space(first))
    return above + below;
  return above + " " + below;
}

std::vector<Paragraph> make_paragraphs(const TextFlow &flow, bool hanging) {
  std::vector<Paragraph> paragraphs;
  const float pitch = typical_pitch(flow.rows);
  size_t from = 0;
  for (size_t i = 1; i <= flow.rows.size(); ++i)
    if (i == flow.rows.size() || begins(flow, i, pitch, hanging)) {
      paragraphs.push_back(paragraph_of(flow, from, i));
      from = i;
    }
  return paragraphs;
}

Paragraph join_rows(const TextFlow &flow) {
  return paragraph_of(flow, 0, flow.rows.size());
}

Paragraph code_of(const TextFlow &flow) {
  Paragraph paragraph = join_rows(flow);
  Run run;
  run.code = true;
  for (const Row &row : flow.rows) {
    const float indent =
        row.height > 0 ? (row.u1 - flow.left) / (0.5f * row.height) : 0;
    run.text += run.text.empty() ? "" : "\n";
    run.text += std::string(
        static_cast<size_t>(std::min(80.0f, std::max(0.0f, indent))), ' ');
    run.text += row.text;
  }
  paragraph.runs.assign(1, run);
  paragraph.indent_first = false;
  return paragraph;
}

void make_lists(std::vector<Paragraph> *paragraphs, int least, int *lists) {
  std::vector<Mark> marks;
  for (const Paragraph &paragraph : *paragraphs)
    marks.push_back(mark_of(plain_text(paragraph.runs)));
  for (size_t i = 0; i < marks.size();) {
    size_t end = i + 1;
    while (end < marks.size() && marks[end].kind == marks[i].kind &&
           marks[end].pattern == marks[i].pattern &&
           (marks[i].kind == ListKind::Bullet ||
            marks[end].number == marks[end - 1].number + 1))
      ++end;
    if (marks[i].kind != ListKind::None && !marks[i].pattern.empty() &&
        end - i >= static_cast<size_t>(least)) {
      ++*lists;
      for (size_t k = i; k < end; ++k) {
        Paragraph &paragraph = (*paragraphs)[k];
        paragraph.list_kind = marks[i].kind;
        paragraph.list = *lists;
        paragraph.first = marks[i].number;
        paragraph.mark = marks[i].pattern;
        paragraph.indent_first = false;
        std::string &text = paragraph.runs[0].text; // the rows are one run
        text.erase(0, std::min(marks[k].bytes, text.size()));
      }
    }
    i = end;
  }
}

} // namespace recovery
} // namespace PaddleOCR

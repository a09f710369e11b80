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

#include "table_grid.h"
#include "utf8.h"

#include <algorithm>
#include <cctype>

namespace PaddleOCR {
namespace recovery {

namespace {

const size_t kMaxBytes = 16u << 20;
const int kMaxColumnSpan = 1000; // as in the HTML standard
const int kMaxRowSpan = 65534;

const char *const kKnownTags[] = {
    "html",      "body", "head", "table",    "thead",  "tbody",   "tfoot",
    "tr",        "td",   "th",   "colgroup", "col",    "caption", "b",
    "strong",    "i",    "em",   "u",        "s",      "strike",  "del",
    "sup",       "sub",  "code", "pre",      "br",     "p",       "div",
    "span",      "font", "a",    "img",      "script", "style",   "overline",
    "underline", "eb",   "eb1",  "eb2",      "eb3",    "eb4",     "eb5",
    "eb6",       "eb7",  "eb8",  "eb9",      "eb10"};

bool known_tag(const std::string &name) {
  for (const char *tag : kKnownTags)
    if (name == tag)
      return true;
  return false;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

struct Tag {
  std::string name;
  bool closing;
  int column_span, row_span; // row_span 0 = to the end
  size_t end;                // offset behind the tag
};

int span_value(const std::string &digits, int least, int most) {
  int value = 0;
  size_t i = 0;
  while (i < digits.size() && is_space(digits[i]))
    ++i;
  const size_t first = i;
  for (; i < digits.size() && digits[i] >= '0' && digits[i] <= '9'; ++i)
    value = std::min(most, value * 10 + (digits[i] - '0'));
  return i == first ? 1 : std::max(least, value);
}

// A tag at `i` (where '<' stands). False: the '<' is text, as in "p<0.05",
// which the recogniser writes without escaping.
bool read_tag(const std::string &html, size_t i, Tag *tag) {
  tag->closing = false;
  tag->column_span = tag->row_span = 1;
  tag->name.clear();
  size_t k = i + 1;
  if (k < html.size() && html[k] == '/') {
    tag->closing = true;
    ++k;
  }
  while (k < html.size() && std::isalnum(static_cast<unsigned char>(html[k])) &&
         tag->name.size() < 16)
    tag->name += html[k++];
  tag->name = lower(tag->name);
  if (!known_tag(tag->name))
    return false;
  if (k < html.size() && !is_space(html[k]) && html[k] != '/' && html[k] != '>')
    return false;
  while (k < html.size() && html[k] != '>') {
    if (is_space(html[k]) || html[k] == '/') {
      ++k;
      continue;
    }
    std::string key, value;
    while (k < html.size() && !is_space(html[k]) && html[k] != '=' &&
           html[k] != '>' && html[k] != '/')
      key += html[k++];
    while (k < html.size() && is_space(html[k]))
      ++k;
    if (k < html.size() && html[k] == '=') {
      ++k;
      while (k < html.size() && is_space(html[k]))
        ++k;
      // a value ends at '>' at the latest, so that a lost quote does not
      // swallow the rest of the table
      const char quote = k < html.size() ? html[k] : 0;
      if (quote == '"' || quote == '\'') {
        ++k;
        while (k < html.size() && html[k] != quote && html[k] != '>')
          value += html[k++];
        if (k < html.size() && html[k] == quote)
          ++k;
      } else {
        while (k < html.size() && !is_space(html[k]) && html[k] != '>')
          value += html[k++];
      }
    } else if (key.empty()) {
      ++k;
    }
    key = lower(key);
    if (key == "colspan")
      tag->column_span = span_value(value, 1, kMaxColumnSpan);
    else if (key == "rowspan")
      tag->row_span = span_value(value, 0, kMaxRowSpan);
  }
  tag->end = std::min(k + 1, html.size());
  return true;
}

struct Entity {
  const char *name;
  uint32_t code;
};
const Entity kEntities[] = {
    {"amp", '&'},      {"lt", '<'},       {"gt", '>'},        {"quot", '"'},
    {"apos", '\''},    {"nbsp", 0xA0},    {"deg", 0xB0},      {"plusmn", 0xB1},
    {"micro", 0xB5},   {"middot", 0xB7},  {"times", 0xD7},    {"divide", 0xF7},
    {"ndash", 0x2013}, {"mdash", 0x2014}, {"hellip", 0x2026}, {"le", 0x2264},
    {"ge", 0x2265},    {"ne", 0x2260},    {"copy", 0xA9},     {"reg", 0xAE},
    {"euro", 0x20AC},  {"yen", 0xA5}};

// Appends the entity at `i` (where '&' stands); returns the offset behind it,
// or i when it is plain text.
size_t read_entity(const std::string &html, size_t i, std::string *out) {
  const size_t end = html.find(';', i);
  if (end == std::string::npos || end - i > 10 || end == i + 1)
    return i;
  const std::string name = html.substr(i + 1, end - i - 1);
  if (name[0] == '#') {
    const bool hex = name.size() > 1 && (name[1] == 'x' || name[1] == 'X');
    uint32_t code = 0;
    size_t k = hex ? 2 : 1;
    if (k >= name.size())
      return i;
    for (; k < name.size(); ++k) {
      const char c = name[k];
      const int digit = c >= '0' && c <= '9'          ? c - '0'
                        : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : hex && c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                      : -1;
      if (digit < 0)
        return i;
      code = std::min<uint32_t>(0x110000, code * (hex ? 16 : 10) + digit);
    }
    append_utf8(out, code == 0 ? 0xFFFD : code);
    return end + 1;
  }
  for (const Entity &entity : kEntities)
    if (name == entity.name) {
      append_utf8(out, entity.code);
      return end + 1;
    }
  return i;
}

// Collects rows and cells while the tokens come in.
class TableReader {
public:
  explicit TableReader(const std::string &html) : html_(html) {}

  std::vector<RawRow> read() {
    size_t i = 0;
    while (i < html_.size()) {
      if (html_[i] == '<') {
        if (html_.compare(i, 4, "<!--") == 0) {
          const size_t end = html_.find("-->", i + 4);
          i = end == std::string::npos ? html_.size() : end + 3;
          continue;
        }
        if (i + 1 < html_.size() &&
            (html_[i + 1] == '!' || html_[i + 1] == '?')) {
          const size_t end = html_.find('>', i);
          i = end == std::string::npos ? html_.size() : end + 1;
          continue;
        }
        Tag tag;
        if (read_tag(html_, i, &tag)) {
          i = tag.end;
          if (!tag.closing && (tag.name == "script" || tag.name == "style"))
            i = skip_element(tag.name, i);
          else
            handle(tag);
          continue;
        }
      } else if (html_[i] == '&') {
        std::string out;
        const size_t end = read_entity(html_, i, &out);
        if (end != i) {
          add_text(out);
          i = end;
          continue;
        }
      }
      add_text(std::string(1, html_[i]));
      ++i;
    }
    return std::move(rows_);
  }

private:
  size_t skip_element(const std::string &name, size_t i) {
    while ((i = html_.find("</", i)) != std::string::npos) {
      Tag tag;
      if (read_tag(html_, i, &tag) && tag.name == name)
        return tag.end;
      i += 2;
    }
    return html_.size();
  }

  void handle(const Tag &tag) {
    const std::string &name = tag.name;
    if (name == "table") {
      depth_ = std::max(0, depth_ + (tag.closing ? -1 : 1));
      if (depth_ == (tag.closing ? 0 : 1))
        in_cell_ = in_row_ = false;
      return;
    }
    if (in_nested()) { // a table in a cell: its text, one line a row
      if (name == "tr" && !tag.closing)
        add_break();
      else if ((name == "td" || name == "th") && !tag.closing)
        add_text(" ");
      else
        style(tag);
      return;
    }
    if (name == "thead") {
      in_head_ = !tag.closing;
    } else if (name == "tbody" || name == "tfoot") {
      in_head_ = false;
    } else if (name == "tr") {
      in_cell_ = false;
      in_row_ = !tag.closing;
      if (in_row_)
        rows_.push_back(RawRow{in_head_, {}});
    } else if (name == "td" || name == "th") {
      in_cell_ = !tag.closing;
      if (in_cell_)
        open_cell(tag);
    } else {
      style(tag);
    }
  }

  void open_cell(const Tag &tag) {
    if (!in_row_) {
      rows_.push_back(RawRow{in_head_, {}});
      in_row_ = true;
    }
    Cell cell;
    cell.header = tag.name == "th" || in_head_;
    cell.column_span = tag.column_span;
    cell.row_span = tag.row_span;
    rows_.back().cells.push_back(cell);
    format_ = Run();
    format_.bold = tag.name == "th";
  }

  bool in_nested() const { return depth_ > 1 && in_cell_; }

  void style(const Tag &tag) {
    const std::string &name = tag.name;
    const bool on = !tag.closing;
    if (name == "b" || name == "strong")
      format_.bold = on;
    else if (name == "i" || name == "em")
      format_.italic = on;
    else if (name == "u" || name == "underline")
      format_.underline = on;
    else if (name == "s" || name == "strike" || name == "del")
      format_.strike = on;
    else if (name == "sup")
      format_.superscript = on;
    else if (name == "sub")
      format_.subscript = on;
    else if (name == "code" || name == "pre")
      format_.code = on;
    else if (name == "br" || name == "p" || name == "div")
      add_break();
  }

  std::vector<Run> *runs() {
    return in_cell_ && !rows_.empty() && !rows_.back().cells.empty()
               ? &rows_.back().cells.back().runs
               : nullptr;
  }

  bool same_format(const Run &run) const {
    return run.bold == format_.bold && run.italic == format_.italic &&
           run.underline == format_.underline && run.strike == format_.strike &&
           run.superscript == format_.superscript &&
           run.subscript == format_.subscript && run.code == format_.code;
  }

  void add_break() {
    std::vector<Run> *target = runs();
    if (!target || target->empty() || target->back().text.empty() ||
        target->back().text.back() == '\n')
      return;
    target->back().text += '\n';
  }

  void add_text(std::string text) {
    std::vector<Run> *target = runs();
    if (!target)
      return; // text between cells has no place in a table
    if (text.size() == 1 && is_space(text[0])) {
      if (target->empty() || target->back().text.empty() ||
          is_space(target->back().text.back()))
        return; // white space collapses
      text = " ";
    }
    if (target->empty() || !same_format(target->back())) {
      Run run = format_;
      run.text.clear();
      target->push_back(run);
    }
    target->back().text += text;
  }

  const std::string &html_;
  std::vector<RawRow> rows_;
  int depth_ = 0;
  bool in_head_ = false, in_row_ = false, in_cell_ = false;
  Run format_;
};

void trim_end(std::vector<Run> *runs) {
  while (!runs->empty()) {
    std::string &text = runs->back().text;
    while (!text.empty() && is_space(text.back()))
      text.pop_back();
    if (!text.empty())
      return;
    runs->pop_back();
  }
}

} // namespace

Table parse_table(const std::string &html) {
  if (html.size() > kMaxBytes)
    throw RecoveryError("table HTML: " + std::to_string(html.size()) +
                        " bytes, more than " + std::to_string(kMaxBytes));
  std::string clean;
  const bool valid = find_invalid_utf8(html) == std::string::npos;
  if (!valid)
    clean = encode_utf8(decode_utf8(html));
  std::vector<RawRow> rows = TableReader(valid ? html : clean).read();
  for (RawRow &row : rows)
    for (Cell &cell : row.cells)
      trim_end(&cell.runs);
  return make_grid(std::move(rows));
}

std::string plain_text(const std::vector<Run> &runs) {
  std::string text;
  for (const Run &run : runs)
    text += run.text;
  return text;
}

} // namespace recovery
} // namespace PaddleOCR

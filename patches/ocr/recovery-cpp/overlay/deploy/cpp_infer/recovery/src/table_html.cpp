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

#include "entities.h"
#include "table_grid.h"
#include "utf8.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>

namespace PaddleOCR {
namespace recovery {

namespace {

const size_t kMaxBytes = 16u << 20;
const int kMaxColumnSpan = 1000; // as in the HTML standard
const int kMaxRowSpan = 65534;
const size_t kMaxValue = 2048; // bytes of an attribute
const size_t kMaxEntity = 12;  // bytes from '&' to ';'

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
  std::string link;          // href
  bool plain;                // no attributes, or sound ones
  bool closed;               // ends with '>'
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
  *tag = Tag{"", false, 1, 1, "", true, false, i};
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
  while (k < html.size() && html[k] != '>' && html[k] != '<') {
    if (is_space(html[k]) || html[k] == '/') {
      ++k;
      continue;
    }
    std::string key, value;
    while (k < html.size() && !is_space(html[k]) && html[k] != '=' &&
           html[k] != '>' && html[k] != '/' && html[k] != '<')
      key += html[k++];
    while (k < html.size() && is_space(html[k]))
      ++k;
    if (k < html.size() && html[k] == '=') {
      ++k;
      while (k < html.size() && is_space(html[k]))
        ++k;
      const char quote = k < html.size() ? html[k] : 0;
      if (quote == '"' || quote == '\'') {
        // a value without its second quote ends at '>', so that a lost quote
        // does not swallow the rest of the table; "a>b" is whole
        const size_t from = ++k;
        const size_t least = std::min(html.size(), from + kMaxValue);
        size_t end = from;
        while (end < least && html[end] != quote && html[end] != '<')
          ++end;
        const bool whole = end < least && html[end] == quote;
        while (k < html.size() &&
               (whole ? k < end : html[k] != '>' && html[k] != '<'))
          value += html[k++];
        k += whole;
      } else {
        while (k < html.size() && !is_space(html[k]) && html[k] != '>' &&
               html[k] != '<')
          value += html[k++];
      }
    } else {
      tag->plain = false; // a word without a value
      if (key.empty())
        ++k;
    }
    key = lower(key);
    if (key == "colspan")
      tag->column_span = span_value(value, 1, kMaxColumnSpan);
    else if (key == "rowspan")
      tag->row_span = span_value(value, 0, kMaxRowSpan);
    else if (key == "href")
      tag->link = value;
  }
  tag->closed = k < html.size() && html[k] == '>';
  tag->end = std::min(tag->closed ? k + 1 : k, html.size());
  return true;
}

// Appends the entity at `i` (where '&' stands); returns the offset behind it,
// or i when it is plain text.
size_t read_entity(const std::string &html, size_t i, std::string *out) {
  const std::string head = html.substr(i, kMaxEntity);
  const size_t end = head.find(';');
  if (end == std::string::npos || end == 1) {
    // the recogniser loses the semicolon
    for (const char *name : {"&amp", "&lt", "&gt", "&quot", "&nbsp"})
      if (head.compare(0, std::strlen(name), name) == 0) {
        const std::string whole = std::string(name) + ";";
        read_entity(whole, 0, out);
        return i + std::strlen(name);
      }
    return i;
  }
  const std::string name = head.substr(1, end - 1);
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
    return i + end + 1;
  }
  const Entity *last = kEntities + sizeof(kEntities) / sizeof(kEntities[0]);
  const Entity *found = std::lower_bound(
      kEntities, last, name, [](const Entity &entity, const std::string &key) {
        return entity.name < key;
      });
  if (found == last || name != found->name) {
    // "&ampB;" is "&" and "B;", too
    const std::string cut = head.substr(0, end);
    const size_t taken = read_entity(cut, 0, out);
    return taken == 0 ? i : i + taken;
  }
  append_utf8(out, found->code);
  return i + end + 1;
}

// Is it one of the tags that make the grid? They count even when damaged.
bool makes_grid(const std::string &name) {
  static const char *const names[] = {"table", "thead", "tbody", "tfoot",
                                      "tr",    "td",    "th",    "caption"};
  for (const char *each : names)
    if (name == each)
      return true;
  return false;
}

// Does a tag only format the text around it?
bool is_inline(const std::string &name) {
  static const char *const names[] = {
      "b",   "strong", "i",    "em",   "u",    "s", "strike",   "del",
      "sup", "sub",    "code", "span", "font", "a", "overline", "underline"};
  for (const char *each : names)
    if (name == each)
      return true;
  return false;
}

// Collects rows and cells while the tokens come in. What is not surely markup
// is text: nothing that the recogniser wrote may be lost.
class TableReader {
public:
  TableReader(const std::string &html, size_t *steps)
      : html_(html), steps_(*steps) {}

  std::vector<RawRow> read(std::vector<Run> *caption) {
    size_t i = 0;
    while (i < html_.size()) {
      ++steps_;
      size_t end = i;
      if (html_[i] == '<')
        end = read_markup(i);
      else if (html_[i] == '&') {
        std::string out;
        end = read_entity(html_, i, &out);
        steps_ += kMaxEntity;
        if (end != i)
          add_text(out);
      }
      if (end == i)
        add_text(std::string(1, html_[end++]));
      i = end;
    }
    *caption = std::move(outside_);
    return std::move(rows_);
  }

private:
  // Offset behind the markup at `i`, or `i` when it is text.
  size_t read_markup(size_t i) {
    if (html_.compare(i, 4, "<!--") == 0)
      return behind("-->", i, 4);
    if (html_.compare(i, 9, "<![CDATA[") == 0) {
      const size_t end = behind("]]>", i, 9);
      for (size_t k = i + 9; end != i && k + 3 < end; ++k)
        add_text(std::string(1, html_[k]));
      return end;
    }
    if (lower(html_.substr(i, 9)) == "<!doctype" ||
        html_.compare(i, 5, "<?xml") == 0)
      return behind(">", i, 5);
    Tag tag;
    const bool known = read_tag(html_, i, &tag);
    steps_ += tag.end - i;
    if (!known)
      return i;
    if (!makes_grid(tag.name) && (!tag.closed || !tag.plain))
      return i; // "if a<b then c"
    if (is_inline(tag.name)) {
      // "a<b>c" without a "</b>" in the cell is a comparison
      int &open = open_[tag.name];
      if (!tag.closing && closings(tag.name) <= open)
        return i;
      if (tag.closing)
        --closings_[tag.name];
      if (!tag.closing || open > 0) {
        open += tag.closing ? -1 : 1;
        style(tag);
      }
      return tag.end;
    }
    if (tag.name == "script" || tag.name == "style") {
      if (tag.closing)
        return tag.end;
      const size_t end = behind("</" + tag.name, tag.end, 0);
      return end == tag.end ? i : behind(">", end, 0);
    }
    handle(tag);
    return tag.end;
  }

  // Offset behind the next `mark`, or `i` when there is none; that is
  // remembered, so that the text is searched once.
  size_t behind(const std::string &mark, size_t i, size_t skip) {
    const auto known = none_behind_.find(mark);
    if (known != none_behind_.end() && i >= known->second)
      return i;
    const size_t end = html_.find(mark, i + skip);
    steps_ += (end == std::string::npos ? html_.size() : end) - i;
    if (end != std::string::npos)
      return end + mark.size();
    none_behind_[mark] = i;
    return i;
  }

  // How many closing tags of this name the rest of the cell has.
  int closings(const std::string &name) {
    const auto found = closings_.find(name);
    return found == closings_.end() ? 0 : found->second;
  }

  // Counts the closing tags from `i` to the end of the cell; each cell is
  // looked at once.
  void count_closings(size_t i) {
    closings_.clear();
    open_.clear();
    for (; i < html_.size(); ++i) {
      ++steps_;
      Tag tag;
      if (html_[i] != '<' || !read_tag(html_, i, &tag))
        continue;
      steps_ += tag.end - i;
      if (tag.name == "td" || tag.name == "th" || tag.name == "tr" ||
          tag.name == "caption" || (tag.name == "table" && tag.closing))
        return;
      if (tag.closing && tag.closed)
        ++closings_[tag.name];
    }
  }

  void handle(const Tag &tag) {
    const std::string &name = tag.name;
    if (name == "table") {
      depth_ = std::max(0, depth_ + (tag.closing ? -1 : 1));
      if (depth_ == (tag.closing ? 0 : 1))
        in_cell_ = in_row_ = false;
      if (tag.closing && in_cell_)
        add_break();
      return;
    }
    if (in_nested()) { // a table in a cell: its text, one line a row
      if (name == "tr" && !tag.closing)
        add_break();
      else if ((name == "td" || name == "th") && !tag.closing)
        add_text(" ");
      else
        style(tag);
      if (name == "td" || name == "th")
        count_closings(tag.end);
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
    } else if (name == "caption") {
      in_cell_ = false;
      count_closings(tag.end);
      format_ = Run();
      add_break();
    } else if (name == "td" || name == "th") {
      in_cell_ = !tag.closing;
      if (in_cell_)
        open_cell(tag);
      else
        format_ = Run();
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
    cell.place = places_++;
    rows_.back().cells.push_back(cell);
    format_ = Run();
    format_.bold = tag.name == "th";
    count_closings(tag.end);
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
    else if (name == "a")
      format_.link = on ? tag.link : std::string();
    else if (name == "br" || name == "p" || name == "div")
      add_break();
  }

  std::vector<Run> *runs() {
    return in_cell_ && !rows_.empty() && !rows_.back().cells.empty()
               ? &rows_.back().cells.back().runs
               : &outside_;
  }

  bool same_format(const Run &run) const {
    return run.bold == format_.bold && run.italic == format_.italic &&
           run.underline == format_.underline && run.strike == format_.strike &&
           run.superscript == format_.superscript &&
           run.subscript == format_.subscript && run.code == format_.code &&
           run.link == format_.link;
  }

  void add_break() {
    std::vector<Run> *target = runs();
    if (target->empty() || target->back().text.empty() ||
        target->back().text.back() == '\n')
      return;
    target->back().text += '\n';
  }

  void add_text(std::string text) {
    std::vector<Run> *target = runs();
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
  size_t &steps_;
  std::vector<RawRow> rows_;
  std::vector<Run> outside_; // text that stands in no cell
  std::map<std::string, size_t> none_behind_;
  std::map<std::string, int> closings_, open_; // of the cell
  int depth_ = 0, places_ = 0;
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

std::vector<RawRow> read_rows(const std::string &html,
                              std::vector<Run> *caption, size_t *steps) {
  size_t own = 0;
  std::string clean;
  const bool valid = find_invalid_utf8(html) == std::string::npos;
  if (!valid)
    clean = encode_utf8(decode_utf8(html));
  std::vector<RawRow> rows =
      TableReader(valid ? html : clean, steps ? steps : &own).read(caption);
  for (RawRow &row : rows)
    for (Cell &cell : row.cells)
      trim_end(&cell.runs);
  trim_end(caption);
  return rows;
}

Table parse_table(const std::string &html) {
  if (html.size() > kMaxBytes)
    throw RecoveryError("table HTML: " + std::to_string(html.size()) +
                        " bytes, more than " + std::to_string(kMaxBytes));
  std::vector<Run> caption;
  Table table = make_grid(read_rows(html, &caption));
  table.caption = std::move(caption);
  return table;
}

std::string table_text(const std::string &html) {
  std::vector<Run> caption;
  const std::vector<RawRow> rows = read_rows(html, &caption);
  std::string text = plain_text(caption);
  for (const RawRow &row : rows) {
    text += text.empty() ? "" : "\n";
    for (size_t c = 0; c < row.cells.size(); ++c)
      text += (c > 0 ? "\t" : "") + plain_text(row.cells[c].runs);
  }
  return text;
}

std::vector<std::string> row_texts(const Table &table, size_t *steps) {
  std::vector<std::string> rows(table.rows);
  for (const Cell &cell : table.cells) {
    if (cell.column > 0)
      rows[cell.row] += '\t';
    rows[cell.row] += plain_text(cell.runs);
    if (steps)
      ++*steps;
  }
  return rows;
}

std::string plain_text(const std::vector<Run> &runs) {
  std::string text;
  for (const Run &run : runs)
    text += run.text;
  return text;
}

} // namespace recovery
} // namespace PaddleOCR

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

#include "files.h"
#include "numbers.h"
#include "utf8.h"

#include <include/recovery/writers.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <mutex>

#include <xlsxwriter.h>
#include <zip.h>

namespace PaddleOCR {
namespace recovery {

namespace {

const size_t kMaxText = 32767; // UTF-16 units in a cell
const int kMaxSheets = 10000;

// Closes the workbook whatever happens: closing is what frees it. One at a
// time: libxlsxwriter calls gmtime(), whose result all threads share.
class Workbook {
public:
  Workbook(const std::string &path, const std::string &directory) {
    // parts are collected beside the target, not in /tmp of another device
    directory_ = directory;
    lxw_workbook_options options = {};
    options.tmpdir = &directory_[0];
    book_ = workbook_new_opt(path.c_str(), &options);
    if (!book_)
      throw RecoveryError("xlsx: no workbook");
    lxw_doc_properties properties = {};
    properties.created = 315532800; // 1980-01-01: the same bytes every time
    workbook_set_properties(book_, &properties);
  }
  ~Workbook() {
    if (book_)
      close();
  }
  Workbook(const Workbook &) = delete;
  Workbook &operator=(const Workbook &) = delete;
  lxw_workbook *get() const { return book_; }
  lxw_error close() {
    static std::mutex closing;
    const std::lock_guard<std::mutex> one(closing);
    lxw_workbook *book = book_;
    book_ = nullptr;
    return workbook_close(book);
  }

private:
  std::string directory_;
  lxw_workbook *book_ = nullptr;
};

class Formats {
public:
  explicit Formats(lxw_workbook *book) : book_(book) {}
  lxw_format *get(const Cell &cell, const std::string &number) {
    const bool header = cell.header;
    const std::string key = std::string(header ? "h" : "c") +
                            std::to_string(static_cast<int>(cell.align)) +
                            number;
    for (const auto &made : made_)
      if (made.first == key)
        return made.second;
    lxw_format *format = workbook_add_format(book_);
    format_set_border(format, LXW_BORDER_THIN);
    format_set_text_wrap(format);
    format_set_align(format, LXW_ALIGN_VERTICAL_CENTER);
    if (header) {
      format_set_bold(format);
      format_set_align(format, LXW_ALIGN_CENTER);
    } else if (cell.align != Align::Left) {
      format_set_align(format, cell.align == Align::Centre ? LXW_ALIGN_CENTER
                                                           : LXW_ALIGN_RIGHT);
    }
    if (!number.empty() && number != "General")
      format_set_num_format(format, number.c_str());
    made_.emplace_back(key, format);
    return format;
  }

private:
  lxw_workbook *book_;
  std::vector<std::pair<std::string, lxw_format *>> made_;
};

std::string cell_text(const Cell &cell, size_t *cut) {
  const std::string text = xml_text(plain_text(cell.runs));
  *cut = 0;
  if (text.size() <= kMaxText)
    return text;
  std::vector<uint32_t> codes = decode_utf8(text);
  size_t units = 0, keep = 0;
  while (keep < codes.size() &&
         units + (codes[keep] > 0xFFFF ? 2 : 1) <= kMaxText)
    units += codes[keep++] > 0xFFFF ? 2 : 1;
  *cut = codes.size() - keep;
  codes.resize(keep);
  return encode_utf8(codes);
}

void check(lxw_error error) {
  if (error != LXW_NO_ERROR)
    throw RecoveryError(std::string("xlsx: ") + lxw_strerror(error));
}

void write_cell(lxw_worksheet *sheet, Formats *formats, const Cell &cell,
                const std::string &place, std::vector<std::string> *losses) {
  size_t cut = 0;
  const std::string text = cell_text(cell, &cut);
  if (cut > 0)
    losses->push_back(place + ", row " + std::to_string(cell.row + 1) +
                      ", column " + std::to_string(cell.column + 1) + ": " +
                      std::to_string(cut) +
                      " characters beyond the 32767 of a cell are not in the "
                      "sheet");
  Number number = {0, "General"};
  const bool numeric = read_number(trim(text), &number);
  lxw_format *format = formats->get(cell, numeric ? number.format : "");
  const lxw_row_t row = cell.row;
  const lxw_col_t column = static_cast<lxw_col_t>(cell.column);
  if (cell.row_span > 1 || cell.column_span > 1)
    check(worksheet_merge_range(
        sheet, row, column, row + cell.row_span - 1,
        static_cast<lxw_col_t>(column + cell.column_span - 1), "", format));
  if (numeric)
    check(worksheet_write_number(sheet, row, column, number.value, format));
  else if (text.empty())
    check(worksheet_write_blank(sheet, row, column, format));
  else // never a formula, whatever it begins with
    check(worksheet_write_string(sheet, row, column, text.c_str(), format));
}

// Text as the header of a sheet, in its middle; empty for no text.
std::string header_text(const std::string &caption) {
  const std::string text = xml_text(caption);
  std::string header = text.empty() ? "" : "&C";
  for (size_t i = 0; i < text.size(); ++i) {
    header +=
        text[i] == '&' ? "&&" : std::string(1, text[i] == '\n' ? ' ' : text[i]);
    // libxlsxwriter counts "&G" and "&[Picture]" as pictures, behind a doubled
    // "&" as well, and refuses the header: a word joiner parts them
    if (text[i] == '&' && i + 1 < text.size() &&
        (text[i + 1] == 'G' || text[i + 1] == '['))
      header += "\xE2\x81\xA0";
  }
  return header;
}

void write_sheet(lxw_worksheet *sheet, Formats *formats, const Table &table,
                 const std::string &place, std::vector<std::string> *losses) {
  std::vector<int> widths(table.columns, 6);
  for (const Cell &cell : table.cells) {
    write_cell(sheet, formats, cell, place, losses);
    if (cell.column_span != 1)
      continue;
    int longest = 0; // line of the cell
    const std::string text = plain_text(cell.runs);
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      longest =
          std::max(longest, display_width(text.substr(begin, end - begin)));
      begin = end + 1;
    }
    widths[cell.column] = std::max(widths[cell.column], longest + 2);
  }
  for (int c = 0; c < table.columns; ++c)
    worksheet_set_column(sheet, static_cast<lxw_col_t>(c),
                         static_cast<lxw_col_t>(c), std::min(60, widths[c]),
                         nullptr);
  if (table.header_rows > 0)
    worksheet_freeze_panes(sheet, table.header_rows, 0);
  // the caption stands above the printed sheet: the cells are the table's
  const std::string caption = plain_text(table.caption);
  const std::string header = header_text(caption);
  if (decode_utf8(header).size() < 255 && !header.empty())
    check(worksheet_set_header(sheet, header.c_str()));
  else if (losses && !header.empty())
    losses->push_back(place + ": a caption of " +
                      std::to_string(decode_utf8(caption).size()) +
                      " characters, too long for the header of a sheet");
}

// libxlsxwriter does not look whether its temporary files took what it wrote
// to them. A full device shows as a part without its closing tag.
bool complete(const std::string &path) {
  zip_t *zip = zip_open(path.c_str(), ZIP_RDONLY, nullptr);
  if (!zip)
    return false;
  bool good = zip_get_num_entries(zip, 0) > 0;
  for (zip_int64_t i = 0; good && i < zip_get_num_entries(zip, 0); ++i) {
    zip_stat_t info;
    zip_stat_init(&info);
    good = zip_stat_index(zip, i, 0, &info) == 0 && info.size > 0;
    zip_file_t *file = good ? zip_fopen_index(zip, i, 0) : nullptr;
    if (!file) {
      good = false;
      break;
    }
    std::string text(info.size, 0);
    good = zip_fread(file, &text[0], text.size()) ==
               static_cast<zip_int64_t>(text.size()) &&
           zip_fclose(file) == 0;
    size_t begin = 0; // the first tag that is not the declaration
    while ((begin = text.find('<', begin)) != std::string::npos &&
           text.compare(begin, 2, "<?") == 0)
      ++begin;
    if (begin == std::string::npos) {
      good = false;
      break;
    }
    const size_t end = text.find_first_of(" >/", begin);
    const std::string close =
        "</" + text.substr(begin + 1, end - begin - 1) + ">";
    text = trim(text);
    good = good && text.size() >= close.size() &&
           text.compare(text.size() - close.size(), close.size(), close) == 0;
  }
  zip_discard(zip);
  return good;
}

} // namespace

int write_xlsx(const Document &document, const std::string &path,
               std::vector<std::string> *losses) {
  std::vector<std::string> cut;
  std::vector<const Table *> tables;
  for (const Section &section : document.sections)
    for (const Block &block : section.blocks)
      if (block.kind == BlockKind::Table)
        tables.push_back(&block.table);
  if (tables.empty())
    return 0;
  if (tables.size() > kMaxSheets)
    throw RecoveryError("xlsx: " + std::to_string(tables.size()) + " tables");
  AtomicFile file(path);
  {
    Workbook book(file.temporary(), file.directory());
    Formats formats(book.get());
    for (size_t i = 0; i < tables.size(); ++i) {
      const std::string name = "Table " + std::to_string(i + 1);
      lxw_worksheet *sheet = workbook_add_worksheet(book.get(), name.c_str());
      if (!sheet)
        throw RecoveryError("xlsx: no sheet " + name);
      write_sheet(sheet, &formats, *tables[i], name, &cut);
    }
    errno = 0;
    const lxw_error error = book.close();
    const int problem = errno;
    if (error != LXW_NO_ERROR)
      throw RecoveryError("cannot write " + path + ": " + lxw_strerror(error) +
                          (problem ? " (" + error_text(problem) + ")" : ""));
  }
  if (!complete(file.temporary()))
    throw RecoveryError("cannot write " + path +
                        ": the package is not complete (is the device full?)");
  file.commit();
  if (losses)
    losses->insert(losses->end(), cut.begin(), cut.end());
  return static_cast<int>(tables.size());
}

} // namespace recovery
} // namespace PaddleOCR

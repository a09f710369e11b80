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

#pragma once

// The recovered document: sections of blocks in reading order. Writers take
// this and nothing else. Valid C++11.

#include <include/recovery/structure.h>

namespace PaddleOCR {
namespace recovery {

struct Run {
  std::string text; // valid UTF-8, '\n' is a line break
  std::string link; // address it leads to
  int note; // it is the mark of this footnote of the document, from 1; 0 = none
  bool bold, italic, underline, strike, superscript, subscript, code;
  Run(const std::string &t = "")
      : text(t), note(0), bold(false), italic(false), underline(false),
        strike(false), superscript(false), subscript(false), code(false) {}
};

enum class ParagraphKind { Body, Heading, Caption, Footnote, Equation };
enum class ListKind { None, Bullet, Number };
enum class Align { Left, Centre, Right };

struct Paragraph {
  ParagraphKind kind;
  int level; // of a heading, from 1
  std::vector<Run> runs;
  float font_size;   // points
  float line_pitch;  // points from line to line on the page; 0 = not known
  bool indent_first; // first line stands to the right of the others
  bool right_to_left;
  Align align;
  // An entry of a list: its mark is not in the runs. `list` counts the lists
  // of the document from 1; `first` is the number of the first entry.
  ListKind list_kind;
  int list, first;
  std::string mark;  // bullet, or what follows the number, as "." or ")"
  std::string latex; // of an equation; the runs hold its text
  Paragraph()
      : kind(ParagraphKind::Body), level(1), font_size(10.5f), line_pitch(0),
        indent_first(false), right_to_left(false), align(Align::Left),
        list_kind(ListKind::None), list(0), first(1) {}
};

struct Cell {
  int row, column, row_span, column_span;
  bool header; // <th>, or a cell of <thead>
  Align align;
  int place; // of its <td> in the HTML, from 0; -1 = filled in
  std::vector<Run> runs;
  Cell()
      : row(0), column(0), row_span(1), column_span(1), header(false),
        align(Align::Left), place(-1) {}
};

// Every position of the grid is covered by exactly one cell; cells are sorted
// by row, then column.
struct Table {
  int rows, columns;
  int header_rows; // leading rows that hold header cells only
  std::vector<Cell> cells;
  std::vector<Run> caption;  // <caption>, and text that stands in no cell
  std::vector<float> widths; // of the columns, in any unit; empty = not known
  float font_size;           // points; 0 = not known
  Align align;               // on the page
  Table()
      : rows(0), columns(0), header_rows(0), font_size(0),
        align(Align::Centre) {}
};

struct Picture {
  std::vector<unsigned char> bytes;
  std::string extension;   // jpeg, png, gif or bmp
  int width, height;       // pixels of the picture
  std::string description; // text seen in it
  Align align;             // in its column
  Picture() : width(0), height(0), align(Align::Centre) {}
};

enum class BlockKind { Paragraph, Table, Picture };

struct Block {
  BlockKind kind;
  Paragraph paragraph;
  Table table;
  Picture picture;
  std::string type; // of the region it came from, lower case
  Box box;          // of the region
  int page;
  int column;                      // of its section, from 0 in reading order
  float space_before, space_after; // points of white on the page
  Block()
      : kind(BlockKind::Paragraph), page(0), column(0), space_before(0),
        space_after(0) {}
};

struct Section {
  int columns;               // from 1
  std::vector<float> widths; // points, of the columns; empty = equal
  bool right_to_left;        // the first column is the right one
  bool starts_page;
  std::vector<Block> blocks;
  Section() : columns(1), right_to_left(false), starts_page(false) {}
};

struct PageFrame {
  float width, height;                       // points
  float margin_x, margin_top, margin_bottom; // points
  float header_edge, footer_edge;            // points from the edge of the page
  float text_size; // points, of most of the paragraphs
  float points_per_pixel;
  std::vector<Paragraph> header, footer;
  PageFrame()
      : width(595.3f), height(841.9f), margin_x(72), margin_top(72),
        margin_bottom(72), header_edge(36), footer_edge(36), text_size(10.5f),
        points_per_pixel(0) {}
};

struct Document {
  std::vector<PageFrame> pages;
  std::vector<Section> sections;     // those of one page stand together
  std::vector<int> section_page;     // index into pages, one a section
  std::vector<Paragraph> notes;      // footnotes, with their marks
  std::vector<std::string> warnings; // done in another way than the page shows
  std::vector<std::string> losses;   // content of the page that is not here
  std::string font, east_asian_font; // of the body
  Document()
      : font("Times New Roman"), east_asian_font("\xE5\xAE\x8B\xE4\xBD\x93") {}
};

struct BuildOptions {
  // Throw instead of warn when a table or a picture of a region is unusable.
  bool strict;
  // Put U+FFFD in place of invalid UTF-8 instead of throwing.
  bool replace_invalid_utf8;
  std::string font, east_asian_font; // of the body; empty = the usual ones
  BuildOptions() : strict(false), replace_invalid_utf8(false) {}
};

// Pages -> document: reading order, columns, paragraphs, headings, captions,
// headers and footers, tables, pictures.
// Throws RecoveryError for invalid UTF-8 and for boxes that are not numbers.
Document build_document(const std::vector<Page> &pages,
                        const BuildOptions &options = BuildOptions());

// Table HTML of PP-Structure's table model -> grid. Spans are clipped to the
// grid, cells never overlap, missing cells are filled in.
// Throws RecoveryError when there is no cell, or a limit is exceeded.
Table parse_table(const std::string &html);

// Its text alone, a line a row, tabs between the cells: for a table that
// parse_table refuses.
std::string table_text(const std::string &html);

// Text of the runs without formatting.
std::string plain_text(const std::vector<Run> &runs);

} // namespace recovery
} // namespace PaddleOCR

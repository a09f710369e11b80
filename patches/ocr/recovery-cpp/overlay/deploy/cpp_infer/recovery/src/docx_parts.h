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

#include <include/recovery/document.h>

#include <map>
#include <pugixml.hpp>

namespace PaddleOCR {
namespace recovery {

// One file of the package.
struct Part {
  std::string name;
  std::vector<unsigned char> bytes;
  bool compressed; // pictures are stored as they are
};

// word/document.xml with the parts it refers to, in the order of the package.
std::vector<Part> make_parts(const Document &document);

// Puts the parts into a zip archive; every entry has the same date, so that
// the same parts give the same bytes.
std::vector<unsigned char> zip_parts(const std::vector<Part> &parts);

// word/styles.xml
std::string styles_xml(const Document &document);

// word/numbering.xml, of all lists; empty when there is none.
std::string numbering_xml(const Document &document);

// LaTeX of an equation -> <m:oMath>, appended to `parent`. What is not known
// stays as it is written.
void add_math(pugi::xml_node parent, const std::string &latex);

// Appends <w:p> for a paragraph. `width` is the width of the column in points.
pugi::xml_node add_paragraph(pugi::xml_node parent, const Paragraph &paragraph);

// Appends <w:r> for a run, split where the font or the direction changes.
void add_runs(pugi::xml_node paragraph, const std::vector<Run> &runs,
              float font_size);

// Space for a table, in points; `height` 0 = not known.
struct TablePlace {
  float column; // width of the column of text
  float width, height;
  float text_size; // of the text around it
};

// Appends <w:tbl>: the largest type, at most that of the text around it, with
// which the table fits its place, and rows that fill the place.
// Throws RecoveryError for more columns than Word takes.
void add_table(pugi::xml_node parent, const Table &table,
               const TablePlace &place);

// Widest word packages take.
const int kWordColumns = 63;

// Value of w:jc.
const char *align_name(Align align);

// Twentieths of a point.
int twips(float points);

} // namespace recovery
} // namespace PaddleOCR

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

#include <include/recovery/structure.h>

namespace PaddleOCR {
namespace recovery {

// What the labels of the layout models mean: CDLA and PubLayNet of
// PP-StructureV2, and the finer ones of PP-StructureV3.
enum class Kind {
  Text,
  DocumentTitle,
  Title,
  List,
  Table,
  Figure,
  Caption,
  Header,
  Footer,
  Equation,
  Footnote,
  Code
};

// `type` in lower case. An unknown label is text.
Kind kind_of(const std::string &type);

// Everything that is written as text of its lines.
bool is_text(Kind kind);

// "page 0, figure at [10, 20, 30, 40]"
std::string place_of(const Page &page, const Region &region);

// Those of the lines whose characters are not in the text; each character of
// it counts for one line.
std::vector<TextLine> lines_without(const std::vector<TextLine> &lines,
                                    const std::string &text);

// Lines that several regions hold stay in one of them; regions whose content
// another one shows go; what is left of a region on both sides of one inside
// it becomes two. Types are in lower case.
void assign_lines(Page *page, std::vector<std::string> *warnings);

} // namespace recovery
} // namespace PaddleOCR

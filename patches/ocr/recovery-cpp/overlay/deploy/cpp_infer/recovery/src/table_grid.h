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

namespace PaddleOCR {
namespace recovery {

// Cells as they stand in the HTML; row_span 0 means "to the end".
struct RawRow {
  bool head;
  std::vector<Cell> cells;
};

// Rows of the HTML as they stand there. `caption` takes the text that stands
// in no cell. `steps` counts the characters looked at: the work grows with the
// length of the HTML, whatever is in it.
std::vector<RawRow> read_rows(const std::string &html,
                              std::vector<Run> *caption,
                              size_t *steps = nullptr);

// The texts of the rows, cells apart by tabs. `steps` counts cells.
std::vector<std::string> row_texts(const Table &table, size_t *steps = nullptr);

// Places the cells as the HTML standard does, except that cells never
// overlap: a span that would run into a cell from above is cut. Throws
// RecoveryError when there is no cell or the grid is too large. `steps` counts
// the positions looked at.
Table make_grid(std::vector<RawRow> rows, size_t *steps = nullptr);

} // namespace recovery
} // namespace PaddleOCR

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

#include <algorithm>

namespace PaddleOCR {
namespace recovery {

namespace {

const int kMaxColumns = 16384;          // of a sheet
const long long kMaxPositions = 200000; // rows x columns
const int kWordColumns = 63;            // Word refuses more
const size_t kMaxSteps = 64u << 20;     // 64 million: seconds, not hours

// Removes columns in which no cell begins: colspan="1000" on every cell says
// nothing about the grid.
void drop_empty_columns(Table *table) {
  std::vector<int> starts(table->columns + 1, 0);
  for (const Cell &cell : table->cells)
    starts[cell.column] = 1;
  std::vector<int> place(table->columns + 1, 0);
  for (int c = 0; c < table->columns; ++c)
    place[c + 1] = place[c] + starts[c];
  for (Cell &cell : table->cells) {
    const int end = place[cell.column + cell.column_span];
    cell.column = place[cell.column];
    cell.column_span = end - cell.column;
  }
  table->columns = place[table->columns];
}

} // namespace

Table make_grid(std::vector<RawRow> rows, size_t *steps) {
  size_t own = 0;
  size_t &count = steps ? *steps : own;
  Table table;
  table.rows = static_cast<int>(rows.size());
  size_t cells = 0;
  for (const RawRow &row : rows)
    cells += row.cells.size();
  if (cells == 0)
    throw RecoveryError("table HTML: no cell in it");
  if (static_cast<long long>(cells) > kMaxPositions)
    throw RecoveryError("table HTML: " + std::to_string(cells) + " cells");

  std::vector<int> taken_until; // a column is covered in rows below this
  for (int r = 0; r < table.rows; ++r) {
    int column = 0;
    for (Cell &cell : rows[r].cells) {
      const auto taken = [&](int c) {
        ++count;
        return c < static_cast<int>(taken_until.size()) && taken_until[c] > r;
      };
      while (taken(column))
        ++column;
      int span = 1;
      while (span < cell.column_span && !taken(column + span))
        ++span;
      if (count > kMaxSteps)
        throw RecoveryError("table HTML: its spans cover too much");
      if (column + span > kMaxColumns)
        throw RecoveryError("table HTML: more than " +
                            std::to_string(kMaxColumns) + " columns");
      const int left = table.rows - r;
      cell.row = r;
      cell.column = column;
      cell.column_span = span;
      cell.row_span = cell.row_span == 0 ? left : std::min(cell.row_span, left);
      if (column + span > static_cast<int>(taken_until.size()))
        taken_until.resize(column + span, 0);
      for (int c = column; c < column + span; ++c)
        taken_until[c] = r + cell.row_span;
      count += span;
      column += span;
      table.cells.push_back(std::move(cell));
    }
  }
  table.columns = static_cast<int>(taken_until.size());
  if (table.columns > kWordColumns)
    drop_empty_columns(&table);
  const long long positions = 1LL * table.rows * table.columns;
  if (positions > kMaxPositions)
    throw RecoveryError("table HTML: a grid of " + std::to_string(table.rows) +
                        " x " + std::to_string(table.columns));

  std::vector<char> covered(positions, 0);
  for (const Cell &cell : table.cells)
    for (int r = cell.row; r < cell.row + cell.row_span; ++r)
      for (int c = cell.column; c < cell.column + cell.column_span; ++c)
        covered[1LL * r * table.columns + c] = 1;
  for (int r = 0; r < table.rows; ++r)
    for (int c = 0; c < table.columns; ++c)
      if (!covered[1LL * r * table.columns + c]) {
        Cell cell;
        cell.row = r;
        cell.column = c;
        cell.header = rows[r].head;
        table.cells.push_back(cell);
      }
  std::sort(table.cells.begin(), table.cells.end(),
            [](const Cell &a, const Cell &b) {
              return a.row != b.row ? a.row < b.row : a.column < b.column;
            });
  std::vector<char> plain(table.rows, 0);
  for (const Cell &cell : table.cells)
    if (!cell.header)
      plain[cell.row] = 1;
  while (table.header_rows < table.rows && !plain[table.header_rows] &&
         !rows[table.header_rows].cells.empty())
    ++table.header_rows;
  if (table.header_rows == table.rows)
    table.header_rows = 0; // nothing below to repeat it over
  return table;
}

} // namespace recovery
} // namespace PaddleOCR

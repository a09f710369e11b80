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

// Fuzz target of the table parser. With clang and -DRECOVERY_LIBFUZZER=ON
// libFuzzer drives it; else `fuzz_table_html COUNT` changes seeds at random,
// the same way each time.

#include <include/recovery/writers.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

using namespace PaddleOCR::recovery;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Table table;
  try {
    table = parse_table(std::string(data, data + size));
  } catch (const RecoveryError &) {
    return 0;
  }
  std::vector<char> cover(1u * table.rows * table.columns, 0);
  for (const Cell &cell : table.cells)
    for (int r = cell.row; r < cell.row + cell.row_span; ++r)
      for (int c = cell.column; c < cell.column + cell.column_span; ++c)
        if (cover.at(1u * r * table.columns + c)++)
          std::abort(); // two cells at one place
  for (char covered : cover)
    if (!covered)
      std::abort(); // a hole
  if (table.rows * table.columns > 2000)
    return 0; // the writer is not what is tested, and is slower
  Document document;
  document.pages.resize(1);
  document.sections.resize(1);
  document.section_page.assign(1, 0);
  Block block;
  block.kind = BlockKind::Table;
  block.table = table;
  document.sections[0].blocks.push_back(block);
  docx_bytes(document);
  return 0;
}

#ifndef RECOVERY_LIBFUZZER
namespace {

uint32_t state = 2463534242u;
uint32_t next() { // xorshift
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

const char *const kPieces[] = {"<table>",
                               "</table>",
                               "<tr>",
                               "</tr>",
                               "<td>",
                               "</td>",
                               "<th>",
                               "<thead>",
                               "</thead>",
                               "<tbody>",
                               "<td rowspan=2>",
                               "<td colspan=\"3\">",
                               "<td rowspan=0>",
                               "<td colspan=1000>",
                               "<td rowspan=65535>",
                               "<b>",
                               "</b>",
                               "<br>",
                               "text",
                               "p<0.05",
                               "&lt;",
                               "&#x20000;",
                               "&#99999999;",
                               "&",
                               "<",
                               ">",
                               "\"",
                               "'",
                               "<!--",
                               "-->",
                               "<script>",
                               "</script>",
                               "\xE4\xB8\xAD",
                               "\xFF",
                               "\xF0\xA0",
                               "<td colspan=\"2>",
                               "<eb></eb>",
                               "<td\n\tcolspan = '2' x=y z>",
                               "<!DOCTYPE html>",
                               " "};
const size_t kCount = sizeof(kPieces) / sizeof(kPieces[0]);

std::string sample() {
  std::string html;
  const uint32_t pieces = next() % 60;
  for (uint32_t i = 0; i < pieces; ++i)
    html += kPieces[next() % kCount];
  for (uint32_t i = next() % 4; i > 0 && !html.empty(); --i) {
    const size_t at = next() % html.size();
    switch (next() % 3) {
    case 0:
      html[at] = static_cast<char>(next());
      break;
    case 1:
      html.erase(at, 1 + next() % 5);
      break;
    default:
      html.insert(at, html.substr(next() % html.size(), next() % 20));
    }
  }
  return html;
}

} // namespace

int main(int argc, char **argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 1000;
  if (argc > 2)
    state = static_cast<uint32_t>(std::atoi(argv[2])) | 1;
  int parsed = 0;
  for (int i = 0; i < count; ++i) {
    const std::string html = sample();
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(html.data()),
                           html.size());
    parsed += html.find("<td") != std::string::npos;
  }
  std::printf("%d inputs, %d with a cell\n", count, parsed);
  return parsed * 2 > count ? 0 : 1; // else the samples test nothing
}
#endif

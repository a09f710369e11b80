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

// Fuzz targets: FUZZ_TABLE, FUZZ_STAGE, FUZZ_XLSX and FUZZ_IMAGE name the one
// that is built. With clang and -DRECOVERY_LIBFUZZER=ON libFuzzer drives it;
// else `fuzz_<name> SEEDS COUNT` changes and mixes the seeds at random, the
// same way each time.

#include <include/recovery/stage_file.h>
#include <include/recovery/writers.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <unistd.h>

using namespace PaddleOCR::recovery;

namespace {

Document with_table(const Table &table) {
  Document document;
  document.pages.resize(1);
  document.sections.resize(1);
  document.section_page.assign(1, 0);
  Block block;
  block.kind = BlockKind::Table;
  block.table = table;
  document.sections[0].blocks.push_back(block);
  return document;
}

// Cells cover the grid, each position once.
void check_cover(const Table &table) {
  std::vector<char> cover(1u * table.rows * table.columns, 0);
  for (const Cell &cell : table.cells)
    for (int r = cell.row; r < cell.row + cell.row_span; ++r)
      for (int c = cell.column; c < cell.column + cell.column_span; ++c)
        if (cover.at(1u * r * table.columns + c)++)
          std::abort();
  for (char covered : cover)
    if (!covered)
      std::abort();
}

void try_table(const std::string &text, bool sheet) {
  Table table;
  try {
    table = parse_table(text);
  } catch (const RecoveryError &) {
    table_text(text);
    return;
  }
  check_cover(table);
  if (table.rows * table.columns > 2000)
    return; // large grids are slow and no other
  if (!sheet) {
    docx_bytes(with_table(table));
    return;
  }
  const std::string path = std::filesystem::temp_directory_path() /
                           ("fuzz_" + std::to_string(getpid()) + ".xlsx");
  std::vector<std::string> losses;
  if (write_xlsx(with_table(table), path, &losses) != 1)
    std::abort();
  std::remove(path.c_str());
}

void try_stage(const std::string &text) {
  try {
    BuildOptions options;
    options.replace_invalid_utf8 = true;
    const std::vector<Page> pages = parse_stage(text, "/nowhere/res_0.txt");
    if (pages.empty())
      std::abort();
    docx_bytes(build_document(pages, options));
  } catch (const RecoveryError &) {
  }
}

void try_image(const std::string &text) {
  int width = 0, height = 0;
  std::string extension;
  const std::vector<unsigned char> bytes(text.begin(), text.end());
  if (image_size(bytes, &width, &height, &extension) &&
      (width <= 0 || height <= 0 || extension.empty()))
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string text(data, data + size);
#if defined(FUZZ_TABLE)
  try_table(text, false);
#elif defined(FUZZ_XLSX)
  try_table(text, true);
#elif defined(FUZZ_STAGE)
  try_stage(text);
#else
  try_image(text);
#endif
  (void)try_table, (void)try_stage, (void)try_image;
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

// A seed as it is, or pieces of all seeds in any order; then small changes.
std::string sample(const std::vector<std::string> &seeds,
                   const std::vector<std::string> &pieces) {
  std::string text;
  if (next() % 2)
    text = seeds[next() % seeds.size()];
  else
    for (uint32_t i = next() % 60; i > 0; --i)
      text += pieces[next() % pieces.size()];
  for (uint32_t i = next() % 4; i > 0 && !text.empty(); --i) {
    const size_t at = next() % text.size();
    switch (next() % 3) {
    case 0:
      text[at] = static_cast<char>(next());
      break;
    case 1:
      text.erase(at, 1 + next() % 5);
      break;
    default:
      text.insert(at, text.substr(next() % text.size(), next() % 20));
    }
  }
  return text;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3)
    return 2;
  std::vector<std::string> names, seeds, pieces;
  for (const auto &entry : std::filesystem::directory_iterator(argv[1]))
    names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  for (const std::string &name : names) {
    const std::vector<unsigned char> bytes = read_file(name);
    seeds.emplace_back(bytes.begin(), bytes.end());
    std::string piece;
    for (char c : seeds.back()) { // before '<', behind '>' and ','
      if (c == '<' && !piece.empty())
        pieces.push_back(piece), piece.clear();
      piece += c;
      if (c == '>' || c == ',')
        pieces.push_back(piece), piece.clear();
    }
    pieces.push_back(piece);
  }
  if (seeds.empty())
    return 1; // nothing would be tested
  for (int i = 0; i < std::atoi(argv[2]); ++i) {
    const std::string text = sample(seeds, pieces);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(text.data()),
                           text.size());
  }
  std::printf("%s inputs from %zu seeds\n", argv[2], seeds.size());
  return 0;
}
#endif

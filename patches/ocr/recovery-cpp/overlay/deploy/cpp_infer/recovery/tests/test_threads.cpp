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

// Everything that the library offers, at once in several threads, each with
// documents of its own. -DRECOVERY_SANITIZE=thread makes a race an error.

#include "support.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include <doctest/doctest.h>

using namespace PaddleOCR::recovery;

namespace {

const std::string kHtml = "<table><thead><tr><td>a</td><td>1,024</td></thead>"
                          "<tr><td colspan=2>x<sup>2</sup></td></table>";

// One document from the first step to the last; `number` makes it its own.
std::vector<std::vector<unsigned char>> work(const std::string &directory,
                                             int number) {
  const std::string name = directory + "/" + std::to_string(number);
  std::filesystem::create_directories(name);
  std::ofstream(name + "/res_0.txt")
      << "{\"type\": \"title\", \"bbox\": [0, 0, 900, 60], \"img_idx\": 0, "
         "\"res\": [{\"text\": \"no "
      << number
      << "\", \"confidence\": 1, \"text_region\": [[0, 0], [900, 0], [900, "
         "60], [0, 60]]}]}\n";
  std::vector<Page> pages = read_stage_directory(name);
  Region figure = region("figure", Box(0, 100, 400, 300));
  figure.image = png();
  pages[0].regions.push_back(figure);
  pages[0].regions.push_back(table_region(kHtml, Box(0, 400, 900, 600)));
  const std::string shalom = "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D";
  pages[0].regions.push_back(block("text", shalom, Box(0, 700, 900, 730)));
  for (int column = 0; column <= number % 3; ++column)
    pages.push_back(
        page({block("text", "\xE4\xB8\xAD\xE6\x96\x87", Box(0, 0, 400, 30)),
              block("text", "right", Box(500, 0, 900, 30))}));
  const Document document = build_document(pages);
  write_docx(document, name + ".docx");
  write_xlsx(document, name + ".xlsx");
  return {read_file(name + ".docx"), read_file(name + ".xlsx")};
}

} // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE("threads do not disturb each other") {
  const std::string directory = temporary_directory("threads");
  std::vector<std::vector<std::vector<unsigned char>>> want, got(6);
  for (int number = 0; number < 6; ++number)
    want.push_back(work(directory, number));
  CHECK(want[0] != want[1]);
  std::vector<std::thread> threads;
  for (int number = 0; number < 6; ++number)
    threads.emplace_back([&, number]() {
      for (int round = 0; round < 3; ++round)
        got[number] = work(directory, number);
    });
  for (std::thread &thread : threads)
    thread.join();
  CHECK(got == want);
  std::filesystem::remove_all(directory);
}

TEST_SUITE_END();

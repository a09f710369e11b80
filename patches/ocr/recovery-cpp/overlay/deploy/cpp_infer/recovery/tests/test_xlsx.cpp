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

#include "support.h"

#include <doctest/doctest.h>
#include <filesystem>
#include <thread>

using namespace PaddleOCR::recovery;

namespace {

Document tables(const std::vector<std::string> &html) {
  std::vector<Region> regions;
  float y = 0;
  for (const std::string &each : html)
    regions.push_back(table_region(each, Box(0, y, 900, y + 50))), y += 100;
  return build_document({page(regions)});
}

std::map<std::string, std::string> book(const Document &document) {
  const std::string directory = temporary_directory("xlsx");
  write_xlsx(document, directory + "/t.xlsx");
  const auto parts = unzip_file(directory + "/t.xlsx");
  std::filesystem::remove_all(directory);
  return parts;
}

std::string sheet(const std::string &html) {
  return book(tables({html})).at("xl/worksheets/sheet1.xml");
}

bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_SUITE_BEGIN("xlsx");

TEST_CASE("one sheet a table, no file without one") {
  const auto parts = book(tables({"<td>a</td>", "<td>b</td>"}));
  CHECK(parts.count("xl/worksheets/sheet2.xml") == 1);
  CHECK(parts.count("xl/worksheets/sheet3.xml") == 0);
  const std::string directory = temporary_directory("none");
  CHECK(write_xlsx(build_document({page({})}), directory + "/t.xlsx") == 0);
  CHECK(std::filesystem::is_empty(directory));
  std::filesystem::remove_all(directory);
}

TEST_CASE("numbers are numbers, codes are text") {
  const std::string xml =
      sheet("<tr><td>1,234.50</td><td>-3</td><td>12.5%</td><td>007</td>"
            "<td>1,23</td><td>12345678901234567890</td><td>3.</td><td>2023-11"
            "</td><td>0.1</td><td>\xE2\x88\x92 4</td></tr>");
  CHECK(has(xml, "<c r=\"A1\" s=\"1\"><v>1234.5</v>"));
  CHECK(has(xml, "<v>-3</v>"));
  CHECK(has(xml, "<v>0.125</v>"));
  CHECK(has(xml, "<v>0.1</v>"));
  for (const char *text : {"D1", "E1", "F1", "G1", "H1", "J1"}) {
    INFO(text);
    const size_t at = xml.find("r=\"" + std::string(text) + "\"");
    REQUIRE(at != std::string::npos);
    CHECK(has(xml.substr(at, 30), "t=\"s\""));
  }
}

TEST_CASE("merged cells, widths, frozen head") {
  const std::string xml =
      sheet("<table><thead><tr><td rowspan=2>A</td><td colspan=2>B</td></tr>"
            "<tr><td>c</td><td>d</td></tr></thead><tr><td>e</td><td>f</td>"
            "<td>\xE4\xB8\xAD\xE6\x96\x87\xE4\xB8\xAD\xE6\x96\x87\xE4\xB8\xAD"
            "</td></tr></table>");
  CHECK(has(xml, "<mergeCell ref=\"A1:A2\"/>"));
  CHECK(has(xml, "<mergeCell ref=\"B1:C1\"/>"));
  CHECK(has(xml, "<pane ySplit=\"2\""));
  CHECK(has(xml, "min=\"3\" max=\"3\" width=\"12.7")); // 2 x 5 + 2 columns
}

TEST_CASE("text is never a formula") {
  const auto parts = book(tables({"<td>=cmd|'/c calc'!A1</td>"}));
  CHECK(!has(parts.at("xl/worksheets/sheet1.xml"), "<f>"));
  CHECK(has(parts.at("xl/sharedStrings.xml"), "=cmd|"));
}

TEST_CASE("long text is cut where Excel ends") {
  const auto parts = book(tables({"<td>" + std::string(40000, 'x') + "</td>"}));
  CHECK(parts.at("xl/sharedStrings.xml").size() > 32767);
  CHECK(parts.at("xl/sharedStrings.xml").size() < 34000);
}

TEST_CASE("the same bytes every time, in every thread") {
  const std::string directory = temporary_directory("same");
  const Document document = tables({"<td>a</td><td rowspan=2>1</td><tr><td>b"});
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, i]() {
      for (int round = 0; round < 3; ++round)
        write_xlsx(document, directory + "/" + std::to_string(i) + ".xlsx");
    });
  for (std::thread &thread : threads)
    thread.join();
  const auto want = read_file(directory + "/0.xlsx");
  for (int i = 1; i < 6; ++i)
    CHECK(read_file(directory + "/" + std::to_string(i) + ".xlsx") == want);
  std::filesystem::remove_all(directory);
}

TEST_SUITE_END();

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

#include "numbers.h"
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
  struct Case {
    const char *text;
    double value;       // of a number
    const char *format; // nullptr: text
  };
  const Case cases[] = {
      {"0", 0, "General"},
      {"7", 7, "General"},
      {"-3", -3, "General"},
      {"\xE2\x88\x92"
       "5",
       -5, "General"},
      {"42", 42, "General"},
      {"1998", 1998, "General"},
      {"123456", 123456, "General"},
      {"12345678901", 12345678901.0, "General"}, // 11 digits
      {"0.1", 0.1, "0.0"},
      {"1.10", 1.1, "0.00"},
      {"100.00", 100, "0.00"},
      {"-2.5", -2.5, "0.0"},
      {"0.123", 0.123, "0.000"},
      {"0.1234", 0.1234, "0.0000"},
      {"3.14159265", 3.14159265, "General"},
      {"1,234", 1234, "#,##0"},
      {"1,234.50", 1234.5, "#,##0.00"},
      {"1,000,000", 1000000, "#,##0"},
      {"-12,345", -12345, "#,##0"},
      {"999,999,999,999", 999999999999.0, "#,##0"},
      {"123456789012.5", 123456789012.5, "0.0"},
      {"12%", 0.12, "0%"},
      {"12.5%", 0.125, "0.0%"},
      {"1,234%", 12.34, "0%"},
      {"99.9999%", 0.999999, "0.0000%"},
      {"-0.5%", -0.005, "0.0%"},
      // codes and whatever else is not surely a quantity
      {"+1", 0, nullptr},
      {"+5.2%", 0, nullptr},
      {"+8613812345678", 0, nullptr},
      {"007", 0, nullptr},
      {"00", 0, nullptr},
      {"0012", 0, nullptr},
      {"-01", 0, nullptr},
      {"144031909110", 0, nullptr},    // 12 digits
      {"6901234567892", 0, nullptr},   // EAN
      {"868533010000199", 0, nullptr}, // IMEI
      {"-144031909110", 0, nullptr},
      {"144031909110%", 0, nullptr},
      {"12345678901234567890", 0, nullptr},
      {"0.1234567890123456", 0, nullptr}, // more than a double holds
      {"11010519491231002X", 0, nullptr},
      {"1,23", 0, nullptr},
      {"1,23,456", 0, nullptr},
      {"1.234,56", 0, nullptr},
      {"1234,567", 0, nullptr},
      {"1,2345", 0, nullptr},
      {"3.", 0, nullptr},
      {".5", 0, nullptr},
      {"1.2.3", 0, nullptr},
      {"1e5", 0, nullptr},
      {"(1,234)", 0, nullptr},
      {"$5", 0, nullptr},
      {"2023-11", 0, nullptr},
      {"2023/1/2", 0, nullptr},
      {"12:30", 0, nullptr},
      {"1/2", 0, nullptr},
      {"1 234", 0, nullptr},
      {"-", 0, nullptr},
      {"", 0, nullptr},
      {"%", 0, nullptr},
      {"5%%", 0, nullptr},
      {"\xEF\xBC\x91\xEF\xBC\x92", 0, nullptr}, // full-width digits
      {"=1+1", 0, nullptr},
      {"TRUE", 0, nullptr}};
  CHECK(sizeof(cases) / sizeof(cases[0]) >= 60);
  for (const Case &each : cases) {
    INFO(each.text);
    Number number = {0, nullptr};
    CHECK(read_number(each.text, &number) == (each.format != nullptr));
    if (!each.format || !number.format)
      continue;
    CHECK(number.value == doctest::Approx(each.value).epsilon(1e-15));
    CHECK(std::string(number.format) == each.format);
  }
}

TEST_CASE("and so they come into the sheet") {
  const std::string xml =
      sheet("<tr><td>1,234.50</td><td>-3</td><td>12.5%</td><td>007</td>"
            "<td>+8613812345678</td><td>6901234567892</td></tr>");
  CHECK(has(xml, "<c r=\"A1\" s=\"1\"><v>1234.5</v>"));
  CHECK(has(xml, "<v>-3</v>"));
  CHECK(has(xml, "<v>0.125</v>"));
  for (const char *text : {"D1", "E1", "F1"}) {
    INFO(text);
    const size_t at = xml.find("r=\"" + std::string(text) + "\"");
    REQUIRE(at != std::string::npos);
    CHECK(has(xml.substr(at, 30), "t=\"s\""));
  }
}

TEST_CASE("the caption stands above the printed sheet") {
  CHECK(has(sheet("<table><caption>A & B</caption><tr><td>1</td></tr></table>"),
            "&amp;CA &amp;&amp; B"));
  // what libxlsxwriter takes for pictures
  const char *joined =
      "&amp;CP&amp;&amp;\xE2\x81\xA0G &amp;&amp;\xE2\x81\xA0[Picture]";
  CHECK(has(sheet("<table><caption>P&amp;G &amp;[Picture]</caption>"
                  "<tr><td>1</td></tr></table>"),
            joined));
}

TEST_CASE("a caption that a header cannot take is said") {
  const Document document = tables({"<table><caption>" + std::string(300, 'x') +
                                    "</caption><tr><td>1</td></tr></table>"});
  const std::string directory = temporary_directory("caption");
  std::vector<std::string> losses;
  write_xlsx(document, directory + "/t.xlsx", &losses);
  std::filesystem::remove_all(directory);
  REQUIRE(losses.size() == 1);
  CHECK(has(losses[0], "Table 1: a caption of 300 characters"));
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

TEST_CASE("long text is cut where Excel ends, and that is said") {
  const Document document =
      tables({"<td>" + std::string(40000, 'x') + "</td>"});
  const auto parts = book(document);
  CHECK(parts.at("xl/sharedStrings.xml").size() > 32767);
  CHECK(parts.at("xl/sharedStrings.xml").size() < 34000);
  const std::string directory = temporary_directory("cut");
  std::vector<std::string> losses;
  write_xlsx(document, directory + "/t.xlsx", &losses);
  std::filesystem::remove_all(directory);
  REQUIRE(losses.size() == 1);
  CHECK(has(losses[0], "Table 1, row 1, column 1: 7233 characters"));
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

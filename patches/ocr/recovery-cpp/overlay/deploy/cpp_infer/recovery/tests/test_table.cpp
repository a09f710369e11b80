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
#include "table_grid.h"

#include <doctest/doctest.h>

using namespace PaddleOCR::recovery;

namespace {

// "row,column,row span,column span:text" of every cell.
std::string cells(const Table &table) {
  std::string out;
  for (const Cell &cell : table.cells)
    out += std::to_string(cell.row) + "," + std::to_string(cell.column) + "," +
           std::to_string(cell.row_span) + "," +
           std::to_string(cell.column_span) + ":" + plain_text(cell.runs) + " ";
  return out;
}

// Every position belongs to exactly one cell.
void check_cover(const Table &table) {
  std::vector<int> cover(1u * table.rows * table.columns, 0);
  for (const Cell &cell : table.cells)
    for (int r = cell.row; r < cell.row + cell.row_span; ++r)
      for (int c = cell.column; c < cell.column + cell.column_span; ++c)
        ++cover.at(1u * r * table.columns + c);
  for (int count : cover)
    CHECK(count == 1);
}

std::string grid(const std::string &html) {
  const Table table = parse_table(html);
  check_cover(table);
  return cells(table);
}

} // namespace

TEST_SUITE_BEGIN("table");

TEST_CASE("HTML of the table model") {
  const Table table = parse_table(
      "<html><body><table><thead><tr><td>a</td><td colspan=\"2\">b</td></tr>"
      "</thead><tbody><tr><td rowspan=\"2\">c</td><td>d</td><td>e</td></tr>"
      "<tr><td>f</td><td></td></tr></tbody></table></body></html>");
  check_cover(table);
  CHECK(cells(table) == "0,0,1,1:a 0,1,1,2:b 1,0,2,1:c 1,1,1,1:d 1,2,1,1:e "
                        "2,1,1,1:f 2,2,1,1: ");
  CHECK(table.header_rows == 1);
}

TEST_CASE("spans over three levels") {
  CHECK(grid("<table><tr><td rowspan=3>A</td><td colspan=4>B</td></tr>"
             "<tr><td colspan=2>C</td><td colspan=2>D</td></tr>"
             "<tr><td>1</td><td>2</td><td>3</td><td>4</td></tr></table>") ==
        "0,0,3,1:A 0,1,1,4:B 1,1,1,2:C 1,3,1,2:D 2,1,1,1:1 2,2,1,1:2 "
        "2,3,1,1:3 2,4,1,1:4 ");
}

TEST_CASE("ragged rows are filled, spans are clipped, cells never overlap") {
  CHECK(grid("<table><tr><td>a</td></tr><tr><td>b</td><td>c</td></tr>"
             "</table>") == "0,0,1,1:a 0,1,1,1: 1,0,1,1:b 1,1,1,1:c ");
  CHECK(grid("<table><tr><td rowspan=99>a</td><td>b</td></tr><tr><td>c</td>"
             "</tr></table>") == "0,0,2,1:a 0,1,1,1:b 1,1,1,1:c ");
  CHECK(grid("<table><tr><td>a</td><td rowspan=2>b</td></tr><tr>"
             "<td colspan=2>c</td></tr></table>") ==
        "0,0,1,1:a 0,1,2,1:b 1,0,1,1:c ");
  CHECK(grid("<table><tr><td rowspan=0>a</td><td>b</td></tr><tr><td>c</td>"
             "</tr></table>") == "0,0,2,1:a 0,1,1,1:b 1,1,1,1:c ");
}

TEST_CASE("text that is not HTML stays text") {
  CHECK(grid("<table><tr><td>p<0.05</td><td>a<b</td><td>x & y</td></tr>") ==
        "0,0,1,1:p<0.05 0,1,1,1:a<b 0,2,1,1:x & y ");
  CHECK(grid("<td>&lt;&#20013;&#x6587;&nbsp;&bogus;&#xD800;</td>") ==
        "0,0,1,1:<\xE4\xB8\xAD\xE6\x96\x87\xC2\xA0&bogus;\xEF\xBF\xBD ");
}

TEST_CASE("what is not surely markup is text") {
  CHECK(grid("<tr><td>if a<b then c</td><td>x<i and y<s or z</td></tr>") ==
        "0,0,1,1:if a<b then c 0,1,1,1:x<i and y<s or z ");
  CHECK(grid("<td>a<b>c</td><td>a<b>c</b></td>") ==
        "0,0,1,1:a<b>c 0,1,1,1:ac ");
  CHECK(grid("<td>a<p then q></td><td>x<!y>z</td><td><!-- open") ==
        "0,0,1,1:a<p then q> 0,1,1,1:x<!y>z 0,2,1,1:<!-- open ");
  CHECK(grid("<td><ann@a.org> <LOQ Map<a, b></td>") ==
        "0,0,1,1:<ann@a.org> <LOQ Map<a, b> ");
  CHECK(grid("<td><![CDATA[raw <b>]]>!</td><td><script>open") ==
        "0,0,1,1:raw <b>! 0,1,1,1:<script>open ");
  CHECK(grid("<td style=\"a>b\" colspan=2>v</td>") == "0,0,1,2:v ");
  const Table t = parse_table("a<table><caption>T <b>7</b></caption><tr>b<td>c"
                              "</td></tr></table>d");
  CHECK(plain_text(t.caption) == "a\nT 7\nbd");
}

TEST_CASE("entities") {
  CHECK(grid("<td>&alpha;&rarr;&Omega;</td><td>A&ampB &ltx</td><td>AT&T; R&D"
             "</td><td>&ampC;</td>") ==
        "0,0,1,1:\xCE\xB1\xE2\x86\x92\xCE\xA9 0,1,1,1:A&B <x 0,2,1,1:AT&T; "
        "R&D 0,3,1,1:&C; ");
}

TEST_CASE("the work grows with the length, not with its square") {
  const char *const hostile[] = {
      "&",           "<",      "<!--",        "<td a=\"",        "<td>&",
      "<script>",    "<b>",    "<![CDATA[",   "<td><b a='",      "</",
      "<a href=\"x", "&#",     "<td><table>", "<td colspan=\"2", "<caption>",
      "<!doctype",   "<style>"};
  for (const char *piece : hostile) {
    INFO(std::string(piece));
    size_t few = 0, many = 0;
    const auto steps = [&](size_t bytes, size_t *count) {
      std::string html = "<td>";
      while (html.size() < bytes)
        html += piece;
      std::vector<Run> caption;
      read_rows(html, &caption, count);
    };
    steps(2000, &few);
    steps(64000, &many);
    CHECK(many < 40 * few); // 32 times as long
    CHECK(many < 64000u * 30);
  }
  // spans that cover much: the grid gives up
  std::vector<RawRow> rows;
  Cell wide;
  wide.column_span = 1000;
  wide.row_span = 65534;
  rows.push_back(RawRow{false, std::vector<Cell>(16, wide)});
  rows.resize(60000, RawRow{false, std::vector<Cell>(1)});
  size_t steps = 0;
  CHECK_THROWS_AS(make_grid(rows, &steps), RecoveryError);
  CHECK(steps < (80u << 20));
  // rows of text: each cell once
  Table table;
  table.rows = 1000;
  table.columns = 10;
  table.cells.resize(10000);
  for (int i = 0; i < 10000; ++i)
    table.cells[i].row = i / 10, table.cells[i].column = i % 10;
  steps = 0;
  CHECK(row_texts(table, &steps).size() == 1000);
  CHECK(steps == 10000);
}

TEST_CASE("formats of the cell's text") {
  const Table t = parse_table("<table><tr><th>h</th><td>x<sup>2</sup> <b>y</b>"
                              "<br>z</td></tr></table>");
  CHECK(t.cells[0].header);
  CHECK(t.cells[0].runs[0].bold);
  REQUIRE(t.cells[1].runs.size() >= 4);
  CHECK(t.cells[1].runs[1].superscript);
  CHECK(plain_text(t.cells[1].runs) == "x2 y\nz");
}

TEST_CASE("nested tables, scripts and comments") {
  CHECK(grid("<table><tr><td>a<table><tr><td>b</td><td>c</td></tr></table>d"
             "</td><td><script>alert('</td>')</script><!-- <td> -->e</td></tr>"
             "</table>") == "0,0,1,1:a\nb c\nd 0,1,1,1:e ");
}

TEST_CASE("damaged HTML") {
  CHECK(grid("<td>a<td>b<tr><td>c") ==
        "0,0,1,1:a 0,1,1,1:b 1,0,1,1:c 1,1,1,1: ");
  CHECK(grid("<table><tr><td colspan=\"2>a</td></tr><tr><td>b</td><td>c</td>"
             "</tr>") == "0,0,1,2:a 1,0,1,1:b 1,1,1,1:c ");
  CHECK(grid("</td></table></tr><tr><td") == "0,0,1,1: ");
  CHECK(grid("<td colspan=-3 rowspan=abc>a</td>") == "0,0,1,1:a ");
  CHECK(grid(std::string("<td>a\0b</td>", 12)).size() > 0);
  CHECK(grid("<td>\xFF\xFE</td>") == "0,0,1,1:\xEF\xBF\xBD\xEF\xBF\xBD ");
}

TEST_CASE("no cell is an error, and so is a grid beyond every use") {
  for (const char *html : {"", "<table></table>", "text", "<table><tr></tr>"})
    CHECK_THROWS_AS(parse_table(html), RecoveryError);
  std::string many = "<table>";
  for (int i = 0; i < 300; ++i)
    many += "<tr><td colspan=1000>x</td><td colspan=1000>y</td>";
  const Table table = parse_table(many); // columns that begin nowhere go
  CHECK(table.columns == 2);
  std::string huge = "<tr>";
  for (int i = 0; i < 20000; ++i)
    huge += "<td>";
  CHECK_THROWS_AS(parse_table(huge), RecoveryError);
  std::string tall;
  for (int i = 0; i < 60; ++i)
    tall += "<td>x</td>";
  for (int i = 0; i < 10000; ++i)
    tall += "<tr>";
  CHECK_THROWS_AS(parse_table(tall), RecoveryError);
  CHECK_THROWS_AS(parse_table(std::string((16u << 20) + 1, ' ')),
                  RecoveryError);
}

TEST_SUITE_END();

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
#include <thread>

using namespace PaddleOCR::recovery;

namespace {

// Two pages with everything that a document can hold.
std::vector<Page> full_pages() {
  Region figure = region("figure", Box(50, 700, 450, 1000));
  figure.image = png();
  Page first = page(
      {block("header", "Running head", Box(50, 10, 900, 30)),
       block("title", "A title", Box(100, 50, 900, 100)),
       block("text", "left \xE4\xB8\xAD\xE6\x96\x87", Box(50, 200, 480, 224)),
       block("text", "right & <x>", Box(520, 200, 950, 224)),
       table_region("<table><tr><td>a</td><td rowspan=2>b</td></tr><tr><td>c"
                    "</td></tr></table>",
                    Box(50, 400, 950, 600)),
       figure, block("figure_caption", "Figure 1", Box(50, 1010, 450, 1030))});
  Page second = page({block("text", "second", Box(50, 100, 900, 124))});
  second.index = 1;
  return {first, second};
}

pugi::xml_document package(const Document &document) {
  pugi::xml_document xml;
  check_package(unzip(docx_bytes(document)), &xml);
  return xml;
}

} // namespace

TEST_SUITE_BEGIN("docx");

TEST_CASE("a full document is a sound package") {
  const Document document = build_document(full_pages());
  const auto parts = unzip(docx_bytes(document));
  pugi::xml_document xml;
  check_package(parts, &xml);
  CHECK(parts.count("word/media/image1.png") == 1);
  CHECK(parts.count("word/header1.xml") == 1);
  CHECK(parts.at("word/header1.xml").find("Running head") != std::string::npos);
  CHECK(xml.select_node("//w:p[w:pPr/w:pStyle/@w:val='Heading1']"));
  CHECK(xml.select_node("//w:p[w:pPr/w:pStyle/@w:val='Caption']"));
  CHECK(xml.select_node("//a:blip"));
  CHECK(text_of(xml).find("right & <x>") != std::string::npos);
  // the second page has no header of its own and must not inherit one
  CHECK(xml.select_nodes("//w:headerReference").size() == 2);
}

TEST_CASE("sections: one column, two columns with a break, a new page") {
  const pugi::xml_document xml = package(build_document(full_pages()));
  std::string kinds;
  for (const auto &found : xml.select_nodes("//w:sectPr")) {
    kinds +=
        std::string(found.node().child("w:type").attribute("w:val").value()) +
        "/" + found.node().child("w:cols").attribute("w:num").value() + " ";
  }
  CHECK(kinds == "nextPage/ continuous/2 continuous/ nextPage/ ");
  CHECK(xml.select_nodes("//w:br[@w:type='column']").size() == 1);
}

TEST_CASE("merged cells") {
  const pugi::xml_document xml = package(build_document({page(
      {table_region("<table><tr><td rowspan=3>A</td><td colspan=4>B</td></tr>"
                    "<tr><td colspan=2>C</td><td colspan=2>D</td></tr>"
                    "<tr><td>1</td><td>2</td><td>3</td><td>4</td></tr></table>",
                    Box(0, 0, 900, 100))})}));
  CHECK(xml.select_nodes("//w:gridCol").size() == 5);
  CHECK(xml.select_nodes("//w:vMerge[@w:val='restart']").size() == 1);
  CHECK(xml.select_nodes("//w:vMerge[@w:val='continue']").size() == 2);
  CHECK(xml.select_nodes("//w:gridSpan[@w:val='4']").size() == 1);
  CHECK(xml.select_nodes("//w:gridSpan[@w:val='2']").size() == 2);
  for (const auto &row : xml.select_nodes("//w:tr")) {
    int width = 0;
    for (pugi::xml_node cell : row.node().children("w:tc"))
      width +=
          cell.child("w:tcPr").child("w:gridSpan").attribute("w:val").as_int(1);
    CHECK(width == 5);
  }
}

TEST_CASE("empty cells are no higher than their row") {
  const pugi::xml_document xml = package(build_document(
      {page({table_region("<tr><td>a</td><td></td></tr><tr><td rowspan=2>b</td>"
                          "<td>c</td></tr><tr><td>d</td></tr>",
                          Box(0, 0, 900, 60))})}));
  const std::string size =
      xml.select_node("//w:tc//w:r//w:sz").node().attribute("w:val").value();
  const auto marks = xml.select_nodes("//w:tc/w:p/w:pPr/w:rPr/w:sz");
  REQUIRE(marks.size() == 2); // the empty one, and that under "b"
  for (const auto &mark : marks)
    CHECK(mark.node().attribute("w:val").value() == size);
}

TEST_CASE("an empty document and an empty page open") {
  package(build_document({}));
  package(build_document({page({})}));
}

TEST_CASE("fonts: East Asian, beyond the BMP, right to left") {
  const std::string rare = "\xF0\xA0\x80\x80"; // U+20000
  const std::string arabic = "\xD8\xB3\xD9\x84\xD8\xA7\xD9\x85";
  const Document document = build_document(
      {page({block("text", "a\xE4\xB8\xAD" + rare + "z", Box(0, 0, 900, 20)),
             block("text", arabic + " 12 " + arabic, Box(0, 50, 900, 70)),
             block("text", "\xF0\x9F\x98\x80 smile", Box(0, 90, 900, 110))})});
  const auto parts = unzip(docx_bytes(document));
  pugi::xml_document xml;
  check_package(parts, &xml);
  CHECK(parts.at("word/styles.xml")
            .find("w:eastAsia=\"\xE5\xAE\x8B\xE4\xBD\x93") !=
        std::string::npos);
  const auto found =
      xml.select_nodes("//w:r[w:rPr/w:rFonts/@w:eastAsia='SimSun-ExtB']");
  REQUIRE(found.size() == 1);
  CHECK(text_of(found[0].node()) == rare);
  const auto bidi = xml.select_nodes("//w:p[w:pPr/w:bidi]");
  REQUIRE(bidi.size() == 1);
  CHECK(text_of(bidi[0].node()) == arabic + " 12 " + arabic);
  CHECK(bidi[0].node().select_nodes(".//w:rtl").size() == 2);
  CHECK(text_of(xml).find("\xF0\x9F\x98\x80") != std::string::npos);
}

TEST_CASE("characters that XML cannot hold do not damage the package") {
  const Document document = build_document(
      {page({block("text", std::string("a\x01\x1F") + "b\xEF\xBF\xBE",
                   Box(0, 0, 9, 9)),
             table_region("<td>\x02x</td>", Box(0, 50, 900, 99))})});
  const pugi::xml_document xml = package(document);
  CHECK(text_of(xml) == "abx");
}

TEST_CASE("more columns than Word takes: rows of text, not a damaged file") {
  std::string html = "<table>";
  for (int r = 0; r < 2; ++r) {
    html += "<tr>";
    for (int c = 0; c < 80; ++c)
      html += "<td>c" + std::to_string(c) + "</td>";
  }
  const pugi::xml_document xml =
      package(build_document({page({table_region(html, Box(0, 0, 900, 99))})}));
  CHECK(xml.select_nodes("//w:tbl").empty());
  CHECK(text_of(xml).find("c79") != std::string::npos);
}

TEST_CASE("a picture is as wide as on the page, at most the column") {
  Region figure = region("figure", Box(100, 100, 350, 400));
  figure.image = png();
  pugi::xml_document xml = package(build_document({page({figure})}));
  const double cx =
      xml.select_node("//wp:extent").node().attribute("cx").as_double();
  CHECK(cx / 12700 == doctest::Approx(250 * 595.3 / 1000).epsilon(0.01));
  figure.box = Box(-2000, 0, 5000, 9000);
  xml = package(build_document({page({figure})}));
  CHECK(xml.select_node("//wp:extent").node().attribute("cx").as_double() /
            12700 <
        595.3);
}

TEST_CASE("white space of the page stays, up to a limit") {
  const pugi::xml_document xml = package(
      build_document({page({block("title", "a", Box(300, 100, 700, 120)),
                            block("title", "b", Box(300, 160, 700, 180)),
                            block("text", "c", Box(50, 1300, 950, 1320))})}));
  const auto found = xml.select_nodes("//w:p/w:pPr/w:spacing");
  REQUIRE(found.size() == 2);
  CHECK(found[0].node().attribute("w:before").as_int() == 18 * 20);
  CHECK(std::string(found[0].node().next_sibling().name()) == "w:jc");
  CHECK(found[1].node().attribute("w:before").as_int() == 36 * 20);
}

TEST_CASE("a block far down an empty page stays there") {
  const pugi::xml_document xml = package(build_document(
      {page({block("text", "low", Box(50, 500, 950, 520)),
             block("footer", "end", Box(50, 1350, 950, 1370))})}));
  const pugi::xml_node margins = xml.select_node("//w:pgMar").node();
  const int stands = margins.attribute("w:top").as_int() +
                     xml.select_node("//w:body/w:p/w:pPr/w:spacing")
                         .node()
                         .attribute("w:before")
                         .as_int();
  CHECK(stands / 20.0 == doctest::Approx(500 * 595.3 / 1000).epsilon(0.05));
}

TEST_CASE("rows of a table fill its place, in type that fits") {
  const std::string html =
      "<tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr>";
  const auto made = [&](float high) {
    return package(build_document(
        {page({table_region(html, Box(100, 100, 500, 100 + high)),
               block("text", "after", Box(50, 1000, 950, 1020))})}));
  };
  pugi::xml_document xml = made(300);
  double total = 0;
  for (const auto &row : xml.select_nodes("//w:trHeight"))
    total += row.node().attribute("w:val").as_double() / 20;
  CHECK(total == doctest::Approx(300 * 595.3 / 1000).epsilon(0.02));
  CHECK(xml.select_node("//w:tblW").node().attribute("w:w").as_double() / 20 ==
        doctest::Approx(400 * 595.3 / 1000).epsilon(0.02));
  CHECK(std::string(xml.select_node("//w:tbl/w:tblPr/w:jc")
                        .node()
                        .attribute("w:val")
                        .value()) == "left");
  const int large =
      xml.select_node("//w:tc//w:sz").node().attribute("w:val").as_int();
  xml = made(30);
  CHECK(xml.select_node("//w:tc//w:sz").node().attribute("w:val").as_int() <
        large);
}

TEST_CASE("300 blocks") {
  std::vector<Region> regions;
  for (int i = 0; i < 300; ++i)
    regions.push_back(block(i % 7 ? "text" : "title",
                            "block " + std::to_string(i),
                            Box(50, 40.f * i, 900, 40.f * i + 20)));
  const pugi::xml_document xml = package(build_document({page(regions)}));
  CHECK(xml.select_nodes("//w:body/w:p").size() == 300);
}

TEST_CASE("the same pages give the same bytes, in every thread") {
  const std::vector<unsigned char> want =
      docx_bytes(build_document(full_pages()));
  // 1980-01-01 00:00 in the head of the first entry, whatever the clock says
  CHECK(std::vector<unsigned char>(want.begin() + 10, want.begin() + 14) ==
        std::vector<unsigned char>{0, 0, 0x21, 0});
  std::vector<std::vector<unsigned char>> got(8);
  std::vector<std::thread> threads;
  for (auto &out : got)
    threads.emplace_back([&out]() {
      for (int i = 0; i < 5; ++i)
        out = docx_bytes(build_document(full_pages()));
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const auto &bytes : got)
    CHECK(bytes == want);
}

TEST_SUITE_END();

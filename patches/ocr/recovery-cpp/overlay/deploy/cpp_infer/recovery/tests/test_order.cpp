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

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

using namespace PaddleOCR::recovery;
using Texts = std::vector<std::string>;

TEST_SUITE_BEGIN("order");

TEST_CASE("two columns: the left one first, then the right one") {
  const Document d =
      build_document({page({block("text", "R2", Box(520, 600, 950, 640)),
                            block("title", "T", Box(100, 50, 900, 100)),
                            block("text", "L1", Box(50, 200, 480, 240)),
                            block("text", "R1", Box(520, 200, 950, 240)),
                            block("text", "L2", Box(50, 600, 480, 640)),
                            block("text", "end", Box(50, 900, 950, 940))})});
  CHECK(outline(d) == Texts{"T", "L1", "L2", "R1", "R2", "end"});
  REQUIRE(d.sections.size() == 3);
  CHECK(d.sections[0].columns == 1);
  CHECK(d.sections[1].columns == 2);
  CHECK(d.sections[2].columns == 1);
  CHECK(d.sections[1].blocks[1].column == 0);
  CHECK(d.sections[1].blocks[2].column == 1);
}

TEST_CASE("short lines at the left are not a column") {
  const Document d =
      build_document({page({block("text", "a", Box(50, 100, 400, 140)),
                            block("text", "b", Box(600, 200, 950, 240)),
                            block("text", "c", Box(50, 300, 400, 340))})});
  REQUIRE(d.sections.size() == 1);
  CHECK(d.sections[0].columns == 1);
  CHECK(outline(d) == Texts{"a", "b", "c"});
}

TEST_CASE("empty input, empty page, page of nothing but empty regions") {
  CHECK(build_document({}).sections.empty());
  CHECK(outline(build_document({page({})})).empty());
  CHECK(outline(build_document({page({region("title", Box(0, 0, 9, 9)),
                                      region("text", Box(0, 0, 9, 9))})}))
            .empty());
}

TEST_CASE("a page of nothing but tables") {
  const std::string html = "<table><tr><td>a</td></tr></table>";
  const Document d =
      build_document({page({table_region(html, Box(0, 0, 1000, 500)),
                            table_region(html, Box(0, 600, 1000, 1400))})});
  CHECK(outline(d) == Texts{"<1x1>", "<1x1>"});
}

TEST_CASE("headers and footers leave the body") {
  const Document d = build_document(
      {page({block("header", "Chapter 1", Box(50, 10, 900, 40)),
             block("Text", "body", Box(50, 100, 900, 140)),
             block("footer", "12", Box(480, 1380, 520, 1400))})});
  CHECK(outline(d) == Texts{"body"});
  REQUIRE(d.pages[0].header.size() == 1);
  CHECK(plain_text(d.pages[0].header[0].runs) == "Chapter 1");
  CHECK(plain_text(d.pages[0].footer[0].runs) == "12");
}

TEST_CASE("headings by size, captions by type") {
  const Document d = build_document(
      {page({block("title", "Big", Box(50, 0, 900, 60)),
             block("title", "Small", Box(50, 100, 900, 130)),
             block("title", "Big again", Box(50, 200, 900, 258)),
             block("figure_caption", "Figure 1", Box(50, 300, 900, 320))})});
  const std::vector<Block> &blocks = d.sections[0].blocks;
  CHECK(blocks[0].paragraph.level == 1);
  CHECK(blocks[1].paragraph.level == 2);
  CHECK(blocks[2].paragraph.level == 1);
  CHECK(blocks[3].paragraph.kind == ParagraphKind::Caption);
}

TEST_CASE("a title in the middle is centred") {
  const Document d =
      build_document({page({block("title", "middle", Box(300, 0, 700, 40)),
                            block("title", "left", Box(50, 100, 450, 140)),
                            block("text", "full", Box(50, 200, 950, 240))})});
  const std::vector<Block> &blocks = d.sections[0].blocks;
  CHECK(blocks[0].paragraph.align == Align::Centre);
  CHECK(blocks[1].paragraph.align == Align::Left);
  CHECK(blocks[2].paragraph.align == Align::Left);
}

TEST_CASE("a short line at the right edge stays there") {
  const Document d =
      build_document({page({block("text", "2 May", Box(800, 100, 950, 120)),
                            block("text", "full", Box(50, 200, 950, 220))})});
  CHECK(d.sections[0].blocks[0].paragraph.align == Align::Right);
  CHECK(d.sections[0].blocks[1].paragraph.align == Align::Left);
}

TEST_CASE("the size of the type follows the height of the lines") {
  const Document d =
      build_document({page({block("text", "x", Box(50, 0, 900, 24)),
                            block("text", "y", Box(50, 100, 900, 148))})});
  const float a = d.sections[0].blocks[0].paragraph.font_size;
  const float b = d.sections[0].blocks[1].paragraph.font_size;
  CHECK(a == doctest::Approx(13));
  CHECK(b == doctest::Approx(25.5));
}

TEST_CASE("ideographs and letters of one size come in one size") {
  // boxes of PP-OCRv4 around type of 30 pixels
  std::string five;
  for (int i = 0; i < 5; ++i)
    five += "\xE6\x96\x87";
  const Document d =
      build_document({page({block("text", five, Box(50, 0, 200, 24)),
                            block("text", "letters", Box(50, 100, 200, 133)),
                            block("text", five, Box(50, 200, 200, 240))})});
  const std::vector<Block> &blocks = d.sections[0].blocks;
  CHECK(blocks[0].paragraph.font_size == doctest::Approx(17));
  CHECK(blocks[1].paragraph.font_size == doctest::Approx(17.5));
  // a taller box: no wider than the line
  CHECK(blocks[2].paragraph.font_size == doctest::Approx(17));
}

TEST_CASE("the tall boxes of short texts do not make large type") {
  // boxes of PP-OCRv4 in a table, type of 28 pixels
  struct Short {
    const char *text;
    float width, height;
  };
  for (const Short &one :
       {Short{"\xE5\xBE\x97\xE5\x88\x86", 61, 40},
        Short{"\xE6\x96\xB9\xE6\xB3\x95\xE7\x94\xB2", 87, 41},
        Short{"ICDAR", 83, 37}, Short{"95.9", 61, 40}, Short{"1,024", 72, 39},
        Short{"980", 53, 41}}) {
    INFO(std::string(one.text));
    const Document d = build_document({page({block(
        "text", one.text, Box(50, 500, 50 + one.width, 500 + one.height))})});
    CHECK(d.sections[0].blocks[0].paragraph.font_size / 0.5953f ==
          doctest::Approx(28).epsilon(0.11));
  }
}

TEST_CASE("a figure is a picture, without its crop a warning") {
  Region figure = region("figure", Box(100, 100, 500, 400));
  figure.image = png();
  CHECK(outline(build_document({page({figure})})) == Texts{"<picture>"});
  figure.image.clear();
  const Document d = build_document({page({figure})});
  CHECK(outline(d).empty());
  REQUIRE(d.warnings.size() == 1);
  CHECK(d.warnings[0].find("no crop") != std::string::npos);
  figure.image = {'n', 'o'};
  CHECK(build_document({page({figure})}).warnings.size() == 1);
  BuildOptions strict;
  strict.strict = true;
  CHECK_THROWS_AS(build_document({page({figure})}, strict), RecoveryError);
}

TEST_CASE("a table without usable HTML becomes its picture, else its text") {
  Region table = table_region("no cell here", Box(0, 0, 900, 100));
  table.lines = {line("seen text", 0, 0, 100, 20)};
  Document d = build_document({page({table})});
  CHECK(outline(d) == Texts{"seen text"});
  CHECK(d.warnings.size() == 1);
  table.image = png();
  d = build_document({page({table})});
  CHECK(outline(d) == Texts{"<picture>"});
}

TEST_CASE("boxes off the page, turned over or without area are taken") {
  const Document d =
      build_document({page({block("text", "off", Box(-500, -500, -100, -100)),
                            block("text", "over", Box(5000, 9000, 9000, 9500)),
                            block("text", "turned", Box(900, 300, 100, 200)),
                            block("text", "flat", Box(50, 500, 50, 500))})});
  CHECK(outline(d).size() == 4);
  CHECK(docx_bytes(d).size() > 0);
}

TEST_CASE("boxes that are not numbers are refused with their place") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  try {
    build_document({page({block("text", "x", Box(0, nan, 1, 1))})});
    FAIL("not refused");
  } catch (const RecoveryError &problem) {
    CHECK(std::string(problem.what()).find("page 0, region 0") !=
          std::string::npos);
  }
}

TEST_CASE("invalid UTF-8 is refused with its place, or replaced") {
  const std::vector<Page> pages = {
      page({block("text", "ok", Box(0, 0, 9, 9)),
            block("text", "a\xFFz", Box(0, 20, 9, 29))})};
  try {
    build_document(pages);
    FAIL("not refused");
  } catch (const RecoveryError &problem) {
    CHECK(std::string(problem.what())
              .find("region 1, line 0: invalid UTF-8 "
                    "at byte 1") != std::string::npos);
  }
  BuildOptions replace;
  replace.replace_invalid_utf8 = true;
  CHECK(outline(build_document(pages, replace))[1] == "a\xEF\xBF\xBDz");
}

TEST_CASE("pages stay apart") {
  Page second = page({block("text", "two", Box(0, 0, 900, 30))});
  second.index = 1;
  const Document d = build_document(
      {page({block("text", "one", Box(0, 0, 900, 30))}), page({}), second});
  REQUIRE(d.sections.size() == 3);
  for (const Section &section : d.sections)
    CHECK(section.starts_page);
}

TEST_SUITE_END();

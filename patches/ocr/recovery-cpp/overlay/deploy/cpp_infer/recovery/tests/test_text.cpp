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

#include "geometry.h"
#include "support.h"
#include "utf8.h"

#include <cmath>
#include <doctest/doctest.h>

using namespace PaddleOCR::recovery;

namespace {

std::vector<std::string> paragraphs(const std::vector<TextLine> &lines,
                                    bool hanging = false) {
  std::vector<std::string> texts;
  for (const Paragraph &p :
       make_paragraphs(make_rows(lines, Box(0, 0, 500, 500)), hanging))
    texts.push_back(plain_text(p.runs));
  return texts;
}

using Texts = std::vector<std::string>;

TextLine turned(const std::string &text, Box box, double degrees) {
  const double a = degrees * 3.14159265358979 / 180;
  TextLine made = line(text, box.x1, box.y1, box.x2, box.y2);
  for (Point &p : made.quad)
    p = Point(static_cast<float>(500 + (p.x - 500) * std::cos(a) -
                                 (p.y - 500) * std::sin(a)),
              static_cast<float>(500 + (p.x - 500) * std::sin(a) +
                                 (p.y - 500) * std::cos(a)));
  return made;
}

} // namespace

TEST_SUITE_BEGIN("text");

TEST_CASE("invalid UTF-8 is found at its byte") {
  CHECK(find_invalid_utf8("abc \xE4\xB8\xAD \xF0\xA0\x80\x80") ==
        std::string::npos);
  CHECK(find_invalid_utf8("ab\xFF") == 2);
  CHECK(find_invalid_utf8("\xC0\x80") == 0);         // overlong
  CHECK(find_invalid_utf8("\xE0\x80\x80") == 0);     // overlong, three bytes
  CHECK(find_invalid_utf8("\xED\xA0\x80") == 0);     // surrogate
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0); // beyond U+10FFFF
  CHECK(find_invalid_utf8("a\xE4\xB8") == 1);        // cut off
  CHECK(encode_utf8(decode_utf8("a\xE4\xB8z")) == "a\xEF\xBF\xBDz");
}

TEST_CASE("controls that XML cannot hold go") {
  CHECK(xml_text(std::string("a\x01"
                             "b\x00"
                             "c\td\n",
                             8)) == "abc\td\n");
  CHECK(xml_text("\xEF\xBF\xBF!") == "!");
}

TEST_CASE("lines of one paragraph become one") {
  CHECK(paragraphs({line("The quick brown fox jumps", 10, 0, 490, 20),
                    line("over the lazy dog and runs", 10, 26, 490, 46),
                    line("away.", 10, 52, 90, 72)}) ==
        Texts{"The quick brown fox jumps over the lazy dog and runs away."});
}

TEST_CASE("an indented first line begins a paragraph") {
  const std::vector<TextLine> lines = {
      line("First line of one paragraph that", 50, 0, 490, 20),
      line("goes on to the right edge here.", 10, 26, 490, 46),
      line("Second paragraph begins indented", 50, 52, 490, 72),
      line("and ends at the edge, as before", 10, 78, 490, 98)};
  const Texts got = paragraphs(lines);
  REQUIRE(got.size() == 2);
  CHECK(got[1].substr(0, 16) == "Second paragraph");
  const auto made =
      make_paragraphs(make_rows(lines, Box(0, 0, 500, 100)), false);
  CHECK(made[0].indent_first);
}

TEST_CASE("a short last line ends a paragraph, a ragged edge does not") {
  CHECK(paragraphs({line("One sentence that fills the line", 10, 0, 490, 20),
                    line("and ends early.", 10, 26, 200, 46),
                    line("Another one follows and goes on", 10, 52, 490, 72),
                    line("to the end of its line too.", 10, 78, 480, 98)})
            .size() == 2);
  CHECK(paragraphs({line("Ragged lines of one paragraph", 10, 0, 490, 20),
                    line("that end where the word ends", 10, 26, 440, 46),
                    line("and so on until the very last", 10, 52, 480, 72)})
            .size() == 1);
}

TEST_CASE("a gap begins a paragraph") {
  CHECK(paragraphs({line("Line one of a paragraph, full.", 10, 0, 490, 20),
                    line("Line two of a paragraph, full", 10, 26, 490, 46),
                    line("Line three after a gap, full", 10, 95, 490, 115),
                    line("Line four of the second one", 10, 121, 490, 141)})
            .size() == 2);
}

TEST_CASE("another size begins a paragraph") {
  CHECK(
      paragraphs({line("Large words", 10, 0, 490, 44),
                  line("small words below them, full width", 10, 46, 490, 60)})
          .size() == 2);
}

TEST_CASE("lists: one paragraph an entry, hanging lines stay with it") {
  CHECK(paragraphs({line("1. First entry of the list and", 10, 0, 490, 20),
                    line("its second line", 40, 26, 300, 46),
                    line("2. Second entry", 10, 52, 300, 72),
                    line("3. Third entry", 10, 78, 300, 98)},
                   true) ==
        Texts{"1. First entry of the list and its second line",
              "2. Second entry", "3. Third entry"});
  CHECK(paragraphs({line("\xE2\x80\xA2 one point", 10, 0, 200, 20),
                    line("\xE2\x80\xA2 other point", 10, 26, 200, 46)})
            .size() == 2);
  CHECK(paragraphs({line("the length was found to be", 10, 0, 490, 20),
                    line("1.5 metres in every case seen", 10, 26, 490, 46)})
            .size() == 1); // not a mark
}

TEST_CASE("joins: ideographs without space, hyphens, hangul with space") {
  CHECK(join_lines("\xE4\xB8\xAD", "\xE6\x96\x87") ==
        "\xE4\xB8\xAD\xE6\x96\x87");
  CHECK(join_lines("recog-", "nition") == "recognition");
  CHECK(join_lines("PP-", "OCR") == "PP- OCR");
  CHECK(join_lines("\xED\x95\x9C", "\xEA\xB8\x80") ==
        "\xED\x95\x9C \xEA\xB8\x80");
}

TEST_CASE("boxes of one row stand in one line, left to right") {
  CHECK(paragraphs({line("right", 200, 2, 260, 22), line("left", 10, 0, 90, 20),
                    line("below", 10, 30, 90, 50)})[0] == "left right below");
}

TEST_CASE("text turned by any angle reads the same") {
  for (double degrees : {-30.0, -3.0, 8.0, 40.0, 90.0, 180.0}) {
    INFO(degrees);
    CHECK(paragraphs({turned("second", Box(300, 326, 690, 346), degrees),
                      turned("first", Box(300, 300, 700, 320), degrees),
                      turned("third", Box(300, 352, 700, 372), degrees)}) ==
          Texts{"first second third"});
  }
}

TEST_CASE("vertical text: columns from the right") {
  // boxes as the detector gives them: tall, points in upright order
  CHECK(paragraphs({line("\xE7\xAC\xAC\xE4\xBA\x8C", 100, 0, 130, 300),
                    line("\xE7\xAC\xAC\xE4\xB8\x80", 140, 0, 170, 300)}) ==
        Texts{"\xE7\xAC\xAC\xE4\xB8\x80\xE7\xAC\xAC\xE4\xBA\x8C"});
}

TEST_CASE("right to left: boxes of a row from the right") {
  const std::string shalom = "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D";
  const std::string olam = "\xD7\xA2\xD7\x95\xD7\x9C\xD7\x9D";
  const TextFlow flow = make_rows(
      {line(olam, 10, 0, 90, 20), line(shalom, 120, 0, 200, 20)}, Box());
  REQUIRE(flow.rows.size() == 1);
  CHECK(flow.rows[0].text == shalom + " " + olam);
  CHECK(make_paragraphs(flow, false)[0].right_to_left);
}

TEST_CASE("lines without boxes are kept") {
  TextLine bare;
  bare.text = "no box";
  CHECK(paragraphs({bare}) == Texts{"no box"});
  CHECK(paragraphs({}).empty());
}

TEST_SUITE_END();

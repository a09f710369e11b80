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

// Whole pages: regions that overlap, the order in which they are read, what
// must not get lost.

#include "support.h"

#include <doctest/doctest.h>

using namespace PaddleOCR::recovery;
using Texts = std::vector<std::string>;

namespace {

// A paragraph of full lines, each "<name><number>".
Region lines(const std::string &type, const std::string &name, Box box,
             int count, float pitch = 30) {
  Region made = region(type, box);
  for (int i = 0; i < count; ++i)
    made.lines.push_back(line(name + std::to_string(i), box.x1,
                              box.y1 + pitch * i, box.x2,
                              box.y1 + pitch * i + 20));
  return made;
}

Texts read(std::vector<Region> regions) {
  return outline(build_document({page(std::move(regions))}));
}

std::string joined(const Texts &texts) {
  std::string out;
  for (const std::string &text : texts)
    out += text + "|";
  return out;
}

} // namespace

TEST_SUITE_BEGIN("pages");

TEST_CASE("a region in another one: each line is written once") {
  const Region outer = lines("text", "l", Box(50, 100, 950, 220), 4);
  // the same label: the larger one has them
  CHECK(joined(read({outer, lines("text", "l", Box(50, 100, 950, 160), 2)})) ==
        "l0 l1 l2 l3|");
  // twice the same box
  CHECK(joined(read({outer, outer})) == "l0 l1 l2 l3|");
  // a particular label takes them, and the rest stays above and below it
  Region inner = region("title", Box(45, 155, 955, 185));
  inner.lines = {outer.lines[2]};
  CHECK(joined(read({outer, inner})) == "l0 l1|l2|l3|");
  CHECK(joined(read({inner, outer})) == "l0 l1|l2|l3|");
}

TEST_CASE("lines that a crop cuts: the whole reading stays") {
  Region whole = region("text", Box(50, 100, 950, 130),
                        {line("the whole line of text", 50, 102, 950, 128)});
  Region cut = region("title", Box(500, 98, 950, 132),
                      {line("line of text", 500, 102, 950, 128)});
  CHECK(joined(read({whole, cut})) == "the whole line of text|");
  CHECK(joined(read({cut, whole})) == "the whole line of text|");
  // one line here, its words there
  Region words = region("title", Box(48, 98, 955, 132),
                        {line("the whole line", 50, 102, 600, 128),
                         line("of text", 620, 102, 950, 128)});
  CHECK(joined(read({whole, words})) == "the whole line of text|");
}

TEST_CASE("a line that only one of two regions has read stays") {
  // tall boxes, as of a page that is a little turned, overlap the next line
  const auto tall = [](const std::string &text, int row) {
    return line(text, 50, 100 + 20.f * row, 950, 148 + 20.f * row);
  };
  Region one = region("list", Box(50, 100, 950, 300),
                      {tall("first", 0), tall("second", 1), tall("fourth", 3)});
  Region other = region("text", Box(48, 98, 952, 302),
                        {tall("first", 0), tall("second", 1), tall("third", 2),
                         tall("fourth", 3)});
  for (const auto &regions :
       {std::vector<Region>{one, other}, std::vector<Region>{other, one}}) {
    std::string all = joined(read(regions));
    for (const char *word : {"first", "second", "third", "fourth"}) {
      INFO(std::string(word));
      REQUIRE(all.find(word) != std::string::npos);
      CHECK(all.find(word, all.find(word) + 1) == std::string::npos);
    }
  }
}

TEST_CASE("of two labels for one region the surer one counts") {
  Region header = lines("header", "h", Box(300, 400, 700, 420), 1);
  Region title = lines("title", "h", Box(298, 398, 702, 422), 1);
  header.score = 0.9f;
  title.score = 0.5f;
  Document d = build_document({page({header, title})});
  CHECK(outline(d) == Texts{"h0"});
  CHECK(d.sections[0].blocks[0].paragraph.kind == ParagraphKind::Body);
  title.score = 0.95f;
  d = build_document({page({header, title})});
  CHECK(outline(d) == Texts{"h0"});
  CHECK(d.sections[0].blocks[0].paragraph.kind == ParagraphKind::Heading);
}

TEST_CASE("text in a table, a picture, an equation is not repeated") {
  const Region text = lines("text", "row", Box(100, 100, 900, 220), 4);
  CHECK(joined(read({text, table_region("<tr><td>row0 row1 row2 row3</td></tr>",
                                        Box(90, 90, 910, 230))})) == "<1x1>|");
  // what the table does not show stays
  CHECK(joined(read({text, table_region("<tr><td>1</td></tr>",
                                        Box(90, 90, 910, 230))}))
            .find("row0 row1 row2 row3|") != std::string::npos);
  Region figure = region("figure", Box(90, 50, 910, 900));
  figure.image = png();
  Document d = build_document({page({text, figure})});
  CHECK(outline(d) == Texts{"<picture>"});
  CHECK(d.sections[0].blocks[0].picture.description == "row0 row1 row2 row3");
  // a "figure" that is full of text is text
  figure.box = Box(95, 95, 905, 225);
  d = build_document({page({text, figure})});
  CHECK(outline(d) == Texts{"row0 row1 row2 row3"});
  CHECK(d.warnings.size() == 1);
  CHECK(d.losses.empty());
  Region equation = region("equation", Box(95, 155, 905, 185));
  equation.latex = "x";
  d = build_document({page({text, equation})});
  CHECK(joined(outline(d)) == "row0 row1||row3|");
}

TEST_CASE("nested tables and pictures: one of them") {
  Region a = table_region("<tr><td>a</td></tr>", Box(50, 50, 900, 400));
  Region b = table_region("<tr><td>a</td></tr>", Box(60, 60, 800, 300));
  CHECK(read({a, b}).size() == 1);
  Region c = region("figure", Box(50, 50, 900, 400)), d = c;
  c.image = d.image = png();
  d.box = Box(60, 60, 500, 300);
  CHECK(read({d, c}).size() == 1);
}

TEST_CASE("a short title above two columns is read first") {
  CHECK(joined(read({lines("title", "T", Box(300, 50, 700, 70), 1),
                     lines("text", "L", Box(50, 100, 480, 250), 5),
                     lines("text", "R", Box(520, 100, 950, 250), 5)})) ==
        "T0|L0 L1 L2 L3 L4|R0 R1 R2 R3 R4|");
}

TEST_CASE("three columns, and a line in the middle above them") {
  const Document d =
      build_document({page({lines("title", "T", Box(400, 50, 600, 70), 1),
                            lines("text", "a", Box(50, 100, 340, 250), 5),
                            lines("text", "b", Box(360, 100, 640, 250), 5),
                            lines("text", "c", Box(660, 100, 950, 250), 5),
                            lines("text", "d", Box(50, 300, 340, 450), 5),
                            lines("text", "e", Box(360, 300, 640, 450), 5),
                            lines("text", "f", Box(660, 300, 950, 450), 5)})});
  CHECK(joined(outline(d)) ==
        "T0|a0 a1 a2 a3 a4|d0 d1 d2 d3 d4|b0 b1 b2 b3 b4|e0 e1 e2 e3 e4|"
        "c0 c1 c2 c3 c4|f0 f1 f2 f3 f4|");
  REQUIRE(d.sections.size() == 2);
  CHECK(d.sections[1].columns == 3);
  CHECK(d.sections[1].widths.empty());
}

TEST_CASE("a narrow region between the quarters does not split the columns") {
  CHECK(joined(read({lines("text", "a", Box(50, 100, 480, 250), 5),
                     lines("equation", "E", Box(200, 270, 330, 290), 1),
                     lines("text", "b", Box(50, 310, 480, 460), 5),
                     lines("text", "c", Box(520, 100, 950, 460), 5)})) ==
        "a0 a1 a2 a3 a4|E0|b0 b1 b2 b3 b4|c0 c1 c2 c3 c4|");
}

TEST_CASE("right to left: the right column first") {
  const std::string a = "\xD7\x90\xD7\x91", b = "\xD7\x92\xD7\x93";
  const Document d =
      build_document({page({lines("text", a, Box(50, 100, 480, 250), 5),
                            lines("text", b, Box(520, 100, 950, 250), 5)})});
  CHECK(outline(d)[0].substr(0, 4) == b);
  CHECK(d.sections[0].right_to_left);
}

TEST_CASE("vertical text: from the right, part by part") {
  std::vector<Region> regions;
  const auto add = [&](const std::string &text, float x, float y) {
    regions.push_back(region("text", Box(x, y, x + 30, y + 300),
                             {line(text, x, y, x + 30, y + 300)}));
  };
  const std::string one = "\xE4\xB8\x80\xE4\xB8\x80",
                    two = "\xE4\xBA\x8C\xE4\xBA\x8C",
                    three = "\xE4\xB8\x89\xE4\xB8\x89",
                    four = "\xE5\x9B\x9B\xE5\x9B\x9B";
  add(four, 100, 600);
  add(two, 100, 100);
  add(three, 600, 600);
  add(one, 600, 100);
  CHECK(read(regions) == Texts{one, two, three, four});
}

TEST_CASE("a sidebar keeps its width") {
  const Document d =
      build_document({page({lines("text", "s", Box(50, 100, 250, 400), 8),
                            lines("text", "m", Box(300, 100, 950, 400), 8)})});
  REQUIRE(d.sections[0].widths.size() == 2);
  CHECK(d.sections[0].widths[1] / d.sections[0].widths[0] ==
        doctest::Approx(650 / 200.0).epsilon(0.3));
}

TEST_CASE("headers and footers by their place") {
  const Document d =
      build_document({page({lines("header", "low", Box(50, 300, 400, 320), 1),
                            lines("text", "body", Box(50, 400, 900, 500), 3),
                            region("text", Box(480, 1370, 520, 1390),
                                   {line("- 12 -", 480, 1370, 520, 1390)}),
                            lines("header", "top", Box(50, 20, 400, 40), 1)})});
  CHECK(joined(outline(d)) == "low0|body0 body1 body2|");
  CHECK(plain_text(d.pages[0].header.at(0).runs) == "top0");
  CHECK(plain_text(d.pages[0].footer.at(0).runs) == "- 12 -");
}

TEST_CASE("a receipt is one page of its own shape") {
  const Document d = build_document(
      {page({lines("text", "r", Box(20, 20, 380, 1900), 60)}, 400, 2000)});
  CHECK(d.pages[0].height == doctest::Approx(1584));
  CHECK(d.pages[0].width == doctest::Approx(1584 / 5.0).epsilon(0.01));
  CHECK(d.pages[0].margin_x < 20);
}

TEST_CASE("a page that is full to its edges is one page") {
  // of its own shape: the page becomes higher
  Document d =
      build_document({page({lines("text", "a", Box(10, 5, 490, 495), 16),
                            lines("text", "b", Box(510, 5, 990, 995), 32)},
                           1000, 1000)});
  PageFrame frame = d.pages[0];
  CHECK(frame.points_per_pixel * 980 <= frame.width - 2 * frame.margin_x + 0.1);
  CHECK(frame.points_per_pixel * 990 <=
        frame.height - frame.margin_top - frame.margin_bottom);
  // A4: what stands on it becomes smaller
  d = build_document({page({lines("text", "a", Box(10, 5, 990, 1410), 46)})});
  frame = d.pages[0];
  CHECK(frame.height == doctest::Approx(841.9));
  CHECK(frame.points_per_pixel * 1405 <=
        frame.height - frame.margin_top - frame.margin_bottom + 0.1);
}

TEST_CASE("labels below pictures are a row, not columns of what follows") {
  const Document d =
      build_document({page({lines("text", "a", Box(80, 300, 150, 320), 1),
                            lines("text", "b", Box(280, 300, 360, 320), 1),
                            lines("text", "c", Box(490, 300, 570, 320), 1),
                            lines("text", "d", Box(800, 300, 870, 320), 1),
                            lines("text", "L", Box(70, 400, 480, 490), 3),
                            lines("text", "R", Box(510, 400, 780, 490), 3)})});
  CHECK(joined(outline(d)) == "a0|b0|c0|d0|L0 L1 L2|R0 R1 R2|");
  REQUIRE(d.sections.size() == 2);
  CHECK(d.sections[0].columns == 4);
  CHECK(d.sections[1].columns == 2);
}

TEST_CASE("pages of unknown size are as large as the largest of them") {
  Page one = page({lines("text", "a", Box(100, 100, 1500, 2200), 3)}, 0, 0);
  Page two = page({lines("text", "b", Box(100, 100, 1500, 300), 3)}, 0, 0);
  two.index = 1;
  const Document d = build_document({one, two});
  CHECK(d.pages[0].height == d.pages[1].height);
  CHECK(d.pages[0].points_per_pixel == d.pages[1].points_per_pixel);
}

TEST_CASE("a table that goes on over the page is one table") {
  const std::string head = "<thead><tr><td>h</td><td>g</td></tr></thead>";
  Page one = page({lines("text", "a", Box(100, 100, 900, 300), 3),
                   table_region(head + "<tr><td>1</td><td>2</td></tr>",
                                Box(100, 400, 900, 1350))});
  Page two = page({table_region(head + "<tr><td>3</td><td>4</td></tr>",
                                Box(105, 60, 900, 500)),
                   block("footer", "7", Box(480, 1380, 520, 1400)),
                   block("text", "after", Box(100, 600, 900, 630))});
  two.index = 1;
  Document d = build_document({one, two});
  CHECK(joined(outline(d)) == "a0 a1 a2|<3x2>|after|");
  CHECK(!d.sections[1].starts_page);
  pugi::xml_document xml;
  const auto parts = unzip(docx_bytes(d));
  check_package(parts, &xml);
  CHECK(parts.at("word/footer1.xml").find(">7<") != std::string::npos);
  // with a caption, or of other width, it is another one
  two.regions[0].html = "<caption>Table 2</caption>" + two.regions[0].html;
  CHECK(build_document({one, two}).sections[1].starts_page);
  two.regions[0].html = "<tr><td>3</td></tr>";
  CHECK(build_document({one, two}).sections[1].starts_page);
}

TEST_CASE("lists are lists, newer labels are headings") {
  const Document d = build_document(
      {page({lines("doc_title", "D", Box(50, 40, 900, 60), 1),
             lines("paragraph_title", "P", Box(50, 100, 900, 130), 1),
             region("list", Box(50, 200, 900, 300),
                    {line("3. three", 50, 200, 900, 220),
                     line("4. four", 50, 230, 900, 250),
                     line("\xE2\x80\xA2 dot", 50, 260, 900, 280)}),
             region("text", Box(50, 400, 900, 430),
                    {line("5. alone in the text", 50, 400, 900, 420)}),
             lines("footnote", "n", Box(50, 500, 900, 520), 1),
             lines("figure_title", "F", Box(50, 600, 900, 620), 1)})});
  const std::vector<Block> &blocks = d.sections[0].blocks;
  CHECK(joined(outline(d)) ==
        "D0|P0|three|four|dot|5. alone in the text|n0|F0|");
  CHECK(blocks[0].paragraph.level == 1);
  CHECK(blocks[1].paragraph.level == 2);
  CHECK(blocks[2].paragraph.list_kind == ListKind::Number);
  CHECK(blocks[2].paragraph.first == 3);
  CHECK(blocks[2].paragraph.list == blocks[3].paragraph.list);
  CHECK(blocks[4].paragraph.list_kind == ListKind::Bullet);
  CHECK(blocks[5].paragraph.list_kind == ListKind::None);
  CHECK(blocks[6].paragraph.kind == ParagraphKind::Footnote);
  CHECK(blocks[7].paragraph.kind == ParagraphKind::Caption);
  const auto parts = unzip(docx_bytes(d));
  pugi::xml_document xml;
  check_package(parts, &xml);
  CHECK(xml.select_nodes("//w:numPr").size() == 3);
  CHECK(parts.at("word/numbering.xml").find("<w:start w:val=\"3\"/>") !=
        std::string::npos);
  CHECK(parts.at("[Content_Types].xml").find("/word/numbering.xml") !=
        std::string::npos);
}

TEST_CASE("footnotes whose mark stands in the text are footnotes") {
  const auto made = [](const std::string &text, const std::string &note) {
    return build_document(
        {page({block("text", text, Box(50, 100, 950, 120)),
               block("footnote", note, Box(50, 1300, 950, 1320))})});
  };
  struct Pair {
    const char *text, *note, *mark;
  };
  for (const Pair &pair :
       {Pair{"as shown\xC2\xB9 here.", "1 See there", "\xC2\xB9"},
        Pair{"as shown$^{12}$ here.", "$^{12}$See there", "12"},
        Pair{"as shown<sup>3</sup>", "3See there", "3"},
        Pair{"as shown [2].", "[2] See there", "[2]"},
        Pair{"\xE6\x96\x87\xE2\x91\xA0\xE3\x80\x82", "\xE2\x91\xA0\xE8\xA7\x81",
             "\xE2\x91\xA0"},
        Pair{"as shown* here", "*See there", "*"},
        Pair{"as shown\xE2\x80\xA0", "\xE2\x80\xA0 See there",
             "\xE2\x80\xA0"}}) {
    INFO(std::string(pair.text));
    const Document d = made(pair.text, pair.note);
    REQUIRE(d.notes.size() == 1);
    REQUIRE(outline(d).size() == 1);
    const auto parts = unzip(docx_bytes(d));
    pugi::xml_document xml, notes;
    check_package(parts, &xml);
    const auto found = xml.select_nodes("//w:r[w:footnoteReference]");
    REQUIRE(found.size() == 1);
    CHECK(text_of(found[0].node()) == pair.mark);
    const pugi::xml_node mark = found[0].node().child("w:footnoteReference");
    CHECK(mark.attribute("w:id").as_int() == 1);
    CHECK(mark.attribute("w:customMarkFollows").as_bool());
    notes.load_string(parts.at("word/footnotes.xml").c_str(),
                      pugi::parse_default | pugi::parse_ws_pcdata);
    const std::string all = text_of(notes);
    CHECK(all.size() > std::string(pair.mark).size());
    CHECK(text_of(notes.select_node("//w:footnote[@w:id='1']").node()) == all);
    CHECK(text_of(notes.select_node("//w:footnote[@w:id='1']//w:r").node()) ==
          (pair.mark[0] == '\xC2' ? "1" : pair.mark));
    CHECK(parts.at("word/settings.xml").find("w:footnotePr") !=
          std::string::npos);
    CHECK(parts.at("[Content_Types].xml").find("footnotes+xml") !=
          std::string::npos);
  }
  // not beyond doubt: they stay where they stand
  for (const Pair &pair :
       {Pair{"twice\xC2\xB9 and twice\xC2\xB9", "1 See there", ""},
        Pair{"10 m\xC2\xB2, x\xC2\xB2, 5\xC2\xB2", "2 See there", ""},
        Pair{"as shown1 here", "1 See there", ""},
        Pair{"a*b is a product", "*See there", ""},
        Pair{"text ***** text", "***See there", ""},
        Pair{"no mark", "1 See there", ""},
        Pair{"as shown\xC2\xB9 here", "See there", ""}}) {
    INFO(std::string(pair.text));
    const Document d = made(pair.text, pair.note);
    CHECK(d.notes.empty());
    CHECK(outline(d) == Texts{pair.text, pair.note});
    const auto parts = unzip(docx_bytes(d));
    CHECK(parts.count("word/footnotes.xml") == 0);
  }
}

TEST_CASE("several footnotes in one region, several marks in one line") {
  Region notes = region("footnote", Box(50, 1200, 950, 1320),
                        {line("1 First note", 50, 1200, 950, 1220),
                         line("goes on.", 50, 1230, 950, 1250),
                         line("2 Second note", 50, 1260, 950, 1280),
                         line("4 Alone", 50, 1290, 950, 1310)});
  Page one = page(
      {block("text", "one\xC2\xB2 two\xC2\xB9 end", Box(50, 100, 950, 120)),
       notes});
  Page two = page({block("text", "other\xE2\x81\xB4", Box(50, 100, 950, 120))});
  two.index = 1;
  const Document d = build_document({one, two});
  // "one2" has three letters before it, and a note of another page is not meant
  CHECK(joined(outline(d)) ==
        "one\xC2\xB2 two\xC2\xB9 end|4 Alone|other\xE2\x81\xB4|");
  REQUIRE(d.notes.size() == 2);
  CHECK(plain_text(d.notes[0].runs) == "1 First note goes on.");
  CHECK(plain_text(d.notes[1].runs) == "2 Second note");
  pugi::xml_document xml;
  check_package(unzip(docx_bytes(d)), &xml);
  const auto found = xml.select_nodes("//w:footnoteReference/@w:id");
  REQUIRE(found.size() == 2);
  CHECK(std::string(found[0].attribute().value()) == "2");
  CHECK(std::string(found[1].attribute().value()) == "1");
}

TEST_CASE("text that a table does not show stands below it") {
  Region table =
      table_region("<tr><td>a1</td><td></td></tr>", Box(50, 100, 950, 200));
  table.lines = {line("a1", 60, 110, 90, 130), line("a1", 500, 110, 590, 130),
                 line("lost", 60, 150, 200, 170)};
  const Document d = build_document({page({table})});
  CHECK(outline(d)[0] == "<1x2>");
  std::string rest;
  for (size_t i = 1; i < outline(d).size(); ++i)
    rest += outline(d)[i] + " ";
  CHECK(rest.find("lost") != std::string::npos);
  CHECK(rest.find("a1") != std::string::npos);
  CHECK(d.warnings.size() == 1);
}

TEST_CASE("what is lost is said") {
  Region figure = region("figure", Box(100, 100, 500, 400));
  CHECK(build_document({page({figure})}).losses.size() == 1);
  figure.lines = {line("seen", 110, 110, 200, 130)};
  Document d = build_document({page({figure})});
  CHECK(d.losses.empty());
  CHECK(outline(d) == Texts{"seen"});
  CHECK(build_document({page({region("equation", Box(0, 0, 9, 9))})})
            .losses.size() == 1);
  Region table =
      table_region("<table>words without a cell</table>", Box(0, 0, 900, 100));
  d = build_document({page({table})});
  CHECK(outline(d) == Texts{"words without a cell"});
  CHECK(d.losses.empty());
  CHECK(d.warnings.size() == 1);
  table.html = "<table></table>";
  CHECK(build_document({page({table})}).losses.size() == 1);
  Page cut = page({});
  cut.losses.push_back("a line of the file");
  CHECK(build_document({cut}).losses.size() == 1);
  BuildOptions strict;
  strict.strict = true;
  CHECK_THROWS_AS(build_document({cut}, strict), RecoveryError);
}

TEST_CASE("a table too large for a grid is its rows as text") {
  std::string html;
  for (int r = 0; r < 300; ++r) {
    html += "<tr>";
    for (int c = 0; c < 700; ++c)
      html += "<td>" + std::to_string(c) + "</td>";
  }
  const Document d =
      build_document({page({table_region(html, Box(0, 0, 900, 900))})});
  CHECK(d.losses.empty());
  CHECK(outline(d).size() == 300);
  CHECK(outline(d)[299].find("699") != std::string::npos);
}

TEST_CASE("sides, widths and size of a table come from its boxes") {
  Region table =
      table_region("<thead><tr><td>name</td><td>sum</td></tr></thead>"
                   "<tr><td>a</td><td>1</td></tr>"
                   "<tr><td>bbbb</td><td>10000</td></tr>"
                   "<tr><td>cc</td><td>100</td></tr>",
                   Box(100, 100, 700, 300));
  const auto put = [&](const std::string &text, float x1, float x2, int row) {
    const float y = 105 + 50 * row;
    table.cells.push_back(Box(x1, y, x2, y + 24));
    table.lines.push_back(line(text, x1, y, x2, y + 24));
  };
  put("name", 120, 200, 0), put("sum", 640, 690, 0);
  put("a", 150, 170, 1), put("1", 680, 690, 1);
  put("bbbb", 120, 200, 2), put("10000", 610, 690, 2);
  put("cc", 140, 180, 3), put("100", 660, 690, 3);
  const Document d = build_document({page({table})});
  const Table &made = d.sections[0].blocks[0].table;
  CHECK(made.cells[2].align == Align::Centre);
  CHECK(made.cells[3].align == Align::Right);
  CHECK(made.cells[5].align == Align::Right);
  REQUIRE(made.widths.size() == 2);
  CHECK(made.widths[0] + made.widths[1] == doctest::Approx(600));
  CHECK(made.font_size ==
        doctest::Approx(24 * 0.9 * 595.3 / 1000).epsilon(0.1));
  pugi::xml_document xml;
  check_package(unzip(docx_bytes(d)), &xml);
  CHECK(xml.select_nodes("//w:tc/w:p/w:pPr/w:jc[@w:val='right']").size() >= 3);
  // boxes of other cells say nothing
  table.cells.pop_back();
  CHECK(build_document({page({table})})
            .sections[0]
            .blocks[0]
            .table.widths.empty());
}

TEST_CASE("pictures stand where they stand on the page") {
  Region figure = region("figure", Box(50, 100, 300, 400));
  figure.image = png();
  const auto side = [&](float x1, float x2) {
    figure.box = Box(x1, 100, x2, 400);
    return build_document({page({figure})}).sections[0].blocks[0].picture.align;
  };
  CHECK(side(50, 300) == Align::Left);
  CHECK(side(350, 650) == Align::Centre);
  CHECK(side(700, 950) == Align::Right);
}

TEST_CASE("addresses are links, the font is the one that was asked for") {
  BuildOptions options;
  options.font = "Arial & \"Co\"";
  const Document d = build_document(
      {page({block("text", "see https://a.org/b?c=1&d=2. And httpd.",
                   Box(50, 100, 950, 120)),
             table_region("<tr><td><a href=\"javascript:x\">no</a> <a "
                          "href='mailto:a@b.c'>mail</a></td></tr>",
                          Box(50, 200, 950, 240))})},
      options);
  const auto parts = unzip(docx_bytes(d));
  pugi::xml_document xml;
  check_package(parts, &xml);
  const auto links = xml.select_nodes("//w:fldSimple");
  REQUIRE(links.size() == 2);
  CHECK(text_of(links[0].node()) == "https://a.org/b?c=1&d=2");
  CHECK(std::string(links[1].node().attribute("w:instr").value()) ==
        "HYPERLINK \"mailto:a@b.c\"");
  CHECK(text_of(xml).find("And httpd.") != std::string::npos);
  CHECK(parts.at("word/styles.xml").find("Arial &amp; &quot;Co&quot;") !=
        std::string::npos);
}

TEST_CASE("equations") {
  const auto math = [](const std::string &latex) {
    Region equation = region("equation", Box(100, 100, 500, 140));
    equation.latex = latex;
    pugi::xml_document xml;
    check_package(unzip(docx_bytes(build_document({page({equation})}))), &xml);
    std::string out;
    for (const auto &found : xml.select_nodes("//m:oMath//m:t"))
      out += found.node().text().get();
    for (const char *name : {"m:f", "m:rad", "m:nary", "m:sSubSup", "m:sSup",
                             "m:d", "m:mr", "m:acc", "m:limLow"})
      if (const size_t n =
              xml.select_nodes(("//" + std::string(name)).c_str()).size())
        out += " " + std::string(name) + std::to_string(n);
    return out;
  };
  CHECK(math("\\frac{a}{b}=c") == "ab=c m:f1");
  CHECK(math("$\\sqrt[3]{x^2}$") == "3x2 m:rad1 m:sSup1");
  CHECK(math("\\sum_{i=1}^{n} x_i^2") == "i=1nxi2 m:nary1 m:sSubSup1");
  CHECK(math("\\left(\\alpha+1\\right)") == "\xCE\xB1+1 m:d1");
  CHECK(math("\\begin{pmatrix}1&2\\\\3\\end{pmatrix}") == "123 m:d1 m:mr2");
  CHECK(math("\\lim_{x \\to 0} \\hat{f}'") ==
        "limx\xE2\x86\x92"
        "0f\xE2\x80\xB2 m:sSup1 m:acc1 m:limLow1");
  CHECK(math("\\unknown{x} \\text{if } y") == "\\unknownxif y");
  for (const char *bad : {"", "}", "{", "x^", "_", "\\frac{", "\\left(",
                          "\\right)", "\\begin{matrix}&\\\\", "\\", "x^2^3_4_5",
                          "\\end{x}", "\\sqrt[", "&", "$$"})
    math(bad);
  math(std::string(5000, '{'));
  std::string deep;
  for (int i = 0; i < 2000; ++i)
    deep += "\\frac{";
  math(deep);
}

TEST_SUITE_END();

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
#include <fstream>

using namespace PaddleOCR::recovery;
namespace fs = std::filesystem;

namespace {

struct Stage {
  std::string directory = temporary_directory("stage");
  ~Stage() { fs::remove_all(directory); }
  std::string put(const std::string &name, const std::string &content) const {
    const fs::path path = fs::path(directory) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
};

std::string refused(const std::string &content) {
  const Stage stage;
  const std::string path = stage.put("res_0.txt", content);
  try {
    read_stage_file(path);
  } catch (const RecoveryError &problem) {
    CHECK(std::string(problem.what()).find("res_0.txt:") != std::string::npos);
    return problem.what();
  }
  return "taken";
}

} // namespace

TEST_SUITE_BEGIN("stage");

TEST_CASE("a file as PP-Structure writes it") {
  const Stage stage;
  const std::vector<unsigned char> image = png();
  stage.put("[10, 20, 30, 40]_2.jpg", std::string(image.begin(), image.end()));
  const std::string path = stage.put(
      "res_2.txt",
      "{\"type\": \"text\", \"bbox\": [1, 2, 3, 4], \"res\": [{\"text\": "
      "\"\\u4e2d \\ud840\\udc00\", \"confidence\": 0.5, \"text_region\": "
      "[[1.0, "
      "2.0], [3.0, 2.0], [3.0, 4.0], [1.0, 4.0]]}], \"img_idx\": 2}\n"
      "{\"type\": \"figure\", \"bbox\": [10, 20, 30, 40], \"res\": [], "
      "\"img_idx\": 2}\n"
      "{\"type\": \"table\", \"bbox\": [1, 50, 3, 60], \"res\": {\"html\": "
      "\"<table><tr><td>x</td></tr></table>\"}, \"img_idx\": 2}\n");
  const std::vector<Page> pages = read_stage_file(path);
  REQUIRE(pages.size() == 1);
  CHECK(pages[0].index == 2);
  REQUIRE(pages[0].regions.size() == 3);
  CHECK(pages[0].regions[0].lines[0].text == "\xE4\xB8\xAD \xF0\xA0\x80\x80");
  CHECK(pages[0].regions[0].lines[0].score == doctest::Approx(0.5));
  CHECK(pages[0].regions[0].lines[0].quad[2].x == 3);
  CHECK(pages[0].regions[1].image == image);
  CHECK(pages[0].regions[2].html.size() > 10);
}

TEST_CASE("older forms of \"res\"") {
  const Stage stage;
  const std::vector<Page> pages = read_stage_file(stage.put(
      "res_0.txt",
      "{\"type\":\"Text\",\"bbox\":[0,0,9,9],\"res\":[[[0,0,9,0,9,9,0,9]],"
      "[[\"pair\",0.9]]]}\n{\"type\":\"table\",\"bbox\":[0,9,9,19],\"res\":"
      "\"<table><td>x</td></table>\"}\n"
      "{\"type\":\"text\",\"bbox\":[0,20,9,29],\"res\":\"\"}\n"
      "{\"type\":\"text\",\"bbox\":[0,30,9,39],\"res\":[{\"text\":\"n\","
      "\"confidence\":NaN}]}\n"));
  CHECK(pages[0].regions[0].lines[0].text == "pair");
  CHECK(pages[0].regions[0].lines[0].quad[2].y == 9);
  CHECK(pages[0].regions[1].html.substr(0, 7) == "<table>");
  CHECK(pages[0].regions[2].lines.empty());
  CHECK(pages[0].regions[3].lines[0].text == "n");
}

TEST_CASE("pages in the order of their numbers, directories in natural order") {
  const Stage stage;
  for (const char *name : {"page10/res_0.txt", "page2/res_10.txt",
                           "page2/res_9.txt", "other/x.txt"})
    stage.put(name, "{\"type\":\"text\",\"bbox\":[0,0,9,9],\"res\":[]}\n");
  const std::vector<std::string> found = stage_directories(stage.directory);
  REQUIRE(found.size() == 2);
  CHECK(fs::path(found[0]).filename() == "page2");
  const std::vector<Page> pages = read_stage_directory(found[0]);
  REQUIRE(pages.size() == 2);
  CHECK(pages[0].index == 9);
  CHECK(pages[1].index == 10);
  CHECK_THROWS_AS(read_stage_directory(stage.directory), RecoveryError);
}

TEST_CASE("an empty file is an empty page") {
  const Stage stage;
  CHECK(read_stage_file(stage.put("res_3.txt", "\n"))[0].index == 3);
}

TEST_CASE("damaged files are refused with their line") {
  CHECK(refused("{\"type\": \"te").find(":1: not JSON") != std::string::npos);
  CHECK(refused("[1]").find("not a JSON object") != std::string::npos);
  CHECK(refused("{\"bbox\":[0,0,1,1]}").find("type") != std::string::npos);
  CHECK(refused("{\"type\":\"text\",\"bbox\":[0,0,1]}").find("bbox") !=
        std::string::npos);
  CHECK(refused("{\"type\":\"text\",\"bbox\":[0,0,NaN,1]}").find("bbox") !=
        std::string::npos);
  CHECK(
      refused("\n\n{\"type\":\"text\",\"bbox\":[0,0,1,1],\"res\":[{\"text\"}]}")
          .find(":3: not JSON") != std::string::npos);
  CHECK(refused(std::string(200000, '[')).find("not JSON") !=
        std::string::npos);
  CHECK_THROWS_AS(read_stage_file("/nowhere/res_0.txt"), RecoveryError);
}

TEST_CASE("byte order mark, carriage returns, halves of surrogate pairs") {
  const Stage stage;
  const std::string path = stage.put(
      "res_0.txt",
      "\xEF\xBB\xBF{\"type\":\"text\",\"bbox\":[0,0,9,9],\"res\":[{\"text\":"
      "\"a\\ud83d b\\ude00 \\ud83d\\ude00 \\\\ud83d\"}]}\r\n");
  const std::vector<Page> pages = read_stage_file(path);
  CHECK(pages[0].regions[0].lines[0].text ==
        "a\xEF\xBF\xBD b\xEF\xBF\xBD \xF0\x9F\x98\x80 \\ud83d");
  CHECK(pages[0].warnings.size() == 1);
  CHECK(pages[0].losses.empty());
  CHECK(refused("\xFF\xFE{").find("UTF-16") != std::string::npos);
}

TEST_CASE("equations, text without boxes, unknown results") {
  const Stage stage;
  const std::string box = "\"bbox\":[0,0,9,9],\"res\":";
  const std::vector<Page> pages = read_stage_file(
      stage.put("res_0.txt", "{\"type\":\"equation\"," + box +
                                 "{\"latex\":\"x^2\"}}\n{\"type\":"
                                 "\"formula\"," +
                                 box + "\"y\"}\n{\"type\":\"text\"," + box +
                                 "\"one\\ntwo\"}\n{\"type\":\"text\"," + box +
                                 "{\"words\":1}}\n"
                                 "{\"type\":\"text\"," +
                                 box +
                                 "[{\"words\":1},{\"text\":\"kept\"}]}\n"
                                 "{\"type\":\"text\"," +
                                 box + "[]}\n{\"type\":\"text\"," + box +
                                 "[{\"text\":\"cut"));
  REQUIRE(pages.size() == 1);
  const std::vector<Region> &regions = pages[0].regions;
  REQUIRE(regions.size() == 6);
  CHECK(regions[0].latex == "x^2");
  CHECK(regions[1].latex == "y");
  REQUIRE(regions[2].lines.size() == 2);
  CHECK(regions[2].lines[1].text == "two");
  CHECK(regions[4].lines[0].text == "kept");
  REQUIRE(pages[0].losses.size() == 3);
  CHECK(pages[0].losses[0].find(":4: ") != std::string::npos);
  CHECK(pages[0].losses[1].find(":5: ") != std::string::npos);
  CHECK(pages[0].losses[2].find(":7: not JSON") != std::string::npos);
}

TEST_CASE("cells of a table, moved to the page") {
  const Stage stage;
  const std::vector<Page> pages = read_stage_file(stage.put(
      "res_0.txt",
      "{\"type\":\"table\",\"bbox\":[100,200,300,400],\"res\":{\"cell_bbox\":"
      "[[1,2,5,2,5,9,1,9],[10,20,30,40]],\"html\":\"<td>a<td>b\"}}\n"));
  REQUIRE(pages[0].regions[0].cells.size() == 2);
  CHECK(pages[0].regions[0].cells[0].x1 == 101);
  CHECK(pages[0].regions[0].cells[0].y2 == 209);
  CHECK(pages[0].regions[0].cells[1].x2 == 130);
}

TEST_CASE("a crop that cannot be read is as one that is missing") {
  const Stage stage;
  const std::string region =
      "{\"type\":\"figure\",\"bbox\":[0,0,9,9],\"res\":[]}\n";
  const std::string path = stage.put("res_0.txt", region);
  CHECK(
      build_document(read_stage_file(path)).losses[0].find("no crop: [0, 0") !=
      std::string::npos);
  // larger than is read, without its bytes on the device
  const std::string crop = stage.put("[0, 0, 9, 9]_0.jpg", "x");
  fs::resize_file(crop, (512ull << 20) + 1);
  const Document d = build_document(read_stage_file(path));
  REQUIRE(d.losses.size() == 1);
  CHECK(d.losses[0].find("cannot read") != std::string::npos);
}

TEST_CASE("headers of pictures") {
  int w = 0, h = 0;
  std::string extension;
  CHECK(image_size(png(), &w, &h, &extension));
  CHECK(w == 2);
  CHECK(extension == "png");
  const std::vector<unsigned char> jpeg = {
      0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0, 0, 0xFF, 0xC0, 0, 11, 8, 0, 30, 0, 40};
  CHECK(image_size(jpeg, &w, &h, &extension));
  CHECK(w == 40);
  CHECK(h == 30);
  for (size_t cut = 0; cut < jpeg.size(); ++cut) // cut anywhere: no crash
    CHECK_FALSE(
        image_size({jpeg.begin(), jpeg.begin() + cut}, &w, &h, &extension));
  CHECK_FALSE(
      image_size({0xFF, 0xD8, 0xFF, 0xE0, 0, 0, 0, 0}, &w, &h, &extension));
}

TEST_SUITE_END();

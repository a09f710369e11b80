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

#include <filesystem>
#include <set>

#include <unistd.h>

#include <doctest/doctest.h>
#include <zip.h>

namespace PaddleOCR {
namespace recovery {

TextLine line(const std::string &text, float x1, float y1, float x2, float y2) {
  TextLine made;
  made.text = text;
  made.quad = {Point(x1, y1), Point(x2, y1), Point(x2, y2), Point(x1, y2)};
  return made;
}

Region region(const std::string &type, Box box, std::vector<TextLine> lines) {
  Region made;
  made.type = type;
  made.box = box;
  made.lines = std::move(lines);
  return made;
}

Region block(const std::string &type, const std::string &text, Box box) {
  return region(type, box, {line(text, box.x1, box.y1, box.x2, box.y2)});
}

Region table_region(const std::string &html, Box box) {
  Region made = region("table", box);
  made.html = html;
  return made;
}

Page page(std::vector<Region> regions, float width, float height) {
  Page made;
  made.width = width;
  made.height = height;
  made.regions = std::move(regions);
  return made;
}

std::vector<std::string> outline(const Document &document) {
  std::vector<std::string> out;
  for (const Section &section : document.sections)
    for (const Block &b : section.blocks)
      out.push_back(b.kind == BlockKind::Paragraph
                        ? plain_text(b.paragraph.runs)
                    : b.kind == BlockKind::Table
                        ? "<" + std::to_string(b.table.rows) + "x" +
                              std::to_string(b.table.columns) + ">"
                        : "<picture>");
  return out;
}

std::map<std::string, std::string>
unzip(const std::vector<unsigned char> &bytes) {
  std::map<std::string, std::string> parts;
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source =
      zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  zip_t *zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  REQUIRE(zip != nullptr);
  for (zip_int64_t i = 0; i < zip_get_num_entries(zip, 0); ++i) {
    zip_stat_t info;
    REQUIRE(zip_stat_index(zip, i, 0, &info) == 0);
    std::string content(info.size, 0);
    zip_file_t *file = zip_fopen_index(zip, i, 0);
    REQUIRE(file != nullptr);
    CHECK(zip_fread(file, &content[0], content.size()) ==
          static_cast<zip_int64_t>(info.size));
    zip_fclose(file);
    CHECK(parts.count(info.name) == 0);
    parts[info.name] = content;
  }
  zip_discard(zip);
  return parts;
}

std::map<std::string, std::string> unzip_file(const std::string &path) {
  return unzip(read_file(path));
}

void check_package(const std::map<std::string, std::string> &parts,
                   pugi::xml_document *xml) {
  const std::string &types = parts.at("[Content_Types].xml");
  for (const auto &part : parts) {
    const bool is_xml = part.first.find(".xml") != std::string::npos ||
                        part.first.find(".rels") != std::string::npos;
    if (is_xml) {
      pugi::xml_document each;
      INFO(part.first);
      CHECK(each.load_string(part.second.c_str()));
    }
    const std::string extension = part.first.substr(part.first.rfind('.') + 1);
    CHECK(types.find("Extension=\"" + extension + "\"") != std::string::npos);
  }
  pugi::xml_document relations;
  relations.load_string(parts.at("word/_rels/document.xml.rels").c_str());
  std::set<std::string> ids, used;
  for (pugi::xml_node node : relations.first_child().children()) {
    CHECK(ids.insert(node.attribute("Id").value()).second);
    CHECK(parts.count("word/" + std::string(node.attribute("Target").value())));
  }
  REQUIRE(xml->load_string(parts.at("word/document.xml").c_str(),
                           pugi::parse_default | pugi::parse_ws_pcdata));
  std::set<std::string> drawings;
  for (const auto &found : xml->select_nodes("//wp:docPr"))
    CHECK(drawings.insert(found.node().attribute("id").value()).second);
  for (const auto &found : xml->select_nodes("//@r:embed|//@r:id"))
    CHECK(ids.count(found.attribute().value()) == 1);
  pugi::xml_document notes;
  if (parts.count("word/footnotes.xml"))
    notes.load_string(parts.at("word/footnotes.xml").c_str());
  for (const auto &found : xml->select_nodes("//w:footnoteReference/@w:id"))
    CHECK(notes
              .select_nodes(("//w:footnote[@w:id='" +
                             std::string(found.attribute().value()) + "']/w:p")
                                .c_str())
              .size() == 1);
  for (const auto &found : xml->select_nodes("//w:tc")) // Word repairs others
    CHECK(std::string(found.node().last_child().name()) == "w:p");
  for (const auto &found : xml->select_nodes("//w:tbl"))
    CHECK(std::string(found.node().next_sibling().name()) == "w:p");
  CHECK(std::string(
            xml->child("w:document").child("w:body").last_child().name()) ==
        "w:sectPr");
}

std::string text_of(pugi::xml_node node) {
  std::string text;
  for (const auto &found : node.select_nodes(".//w:t"))
    text += found.node().text().get();
  return text;
}

std::vector<unsigned char> png(unsigned char red) {
  // 2 x 1 pixels; nothing here looks at the pixels, only at the header
  return {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D',
          'R',  0,   0,   0,   2,  0,  0,  0,  1, 8, 2, 0,  0,   red};
}

std::string temporary_directory(const std::string &name) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("ppocr_recovery_" + name + "_" + std::to_string(getpid()));
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path.string();
}

} // namespace recovery
} // namespace PaddleOCR

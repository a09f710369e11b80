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

#pragma once

#include <include/recovery/stage_file.h>
#include <include/recovery/writers.h>

#include <map>
#include <pugixml.hpp>

namespace PaddleOCR {
namespace recovery {

TextLine line(const std::string &text, float x1, float y1, float x2, float y2);
Region region(const std::string &type, Box box,
              std::vector<TextLine> lines = {});
// A region of one line that fills its box.
Region block(const std::string &type, const std::string &text, Box box);
Region table_region(const std::string &html, Box box);
Page page(std::vector<Region> regions, float width = 1000, float height = 1414);

// Paragraph texts of a document; tables as "<RxC>", pictures as "<picture>".
std::vector<std::string> outline(const Document &document);

// Entries of a zip archive. Fails the test when it is damaged.
std::map<std::string, std::string>
unzip(const std::vector<unsigned char> &bytes);
std::map<std::string, std::string> unzip_file(const std::string &path);

// word/document.xml of a package after checks that hold for every package:
// all parts are well-formed, every relationship leads to a part, every part
// has a content type, no identifier is used twice.
void check_package(const std::map<std::string, std::string> &parts,
                   pugi::xml_document *xml);

// All text below a node.
std::string text_of(pugi::xml_node node);

std::vector<unsigned char> png(unsigned char red = 200);
std::string temporary_directory(const std::string &name);

} // namespace recovery
} // namespace PaddleOCR

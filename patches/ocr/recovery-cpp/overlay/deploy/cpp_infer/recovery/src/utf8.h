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

#include <cstdint>
#include <string>
#include <vector>

namespace PaddleOCR {
namespace recovery {

// Strict UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
// Returns the offset of the first bad byte, or npos.
size_t find_invalid_utf8(const std::string &text);

// Code points; bad bytes become U+FFFD, one each maximal bad part.
std::vector<uint32_t> decode_utf8(const std::string &text);
void append_utf8(std::string *out, uint32_t code);
std::string encode_utf8(const std::vector<uint32_t> &codes);

// Without the characters that XML 1.0 cannot hold (controls, U+FFFE, U+FFFF).
std::string xml_text(const std::string &text);

std::string trim(const std::string &text); // ASCII and U+3000 spaces
std::string lower(std::string text);       // ASCII

// Ideographs, kana, hangul and full-width forms: two columns wide.
bool is_cjk(uint32_t code);
// Scripts without spaces between words: is_cjk, but not hangul.
bool no_space(uint32_t code);
bool is_right_to_left(uint32_t code);
// True when most of the letters of strong direction run right to left.
bool mostly_right_to_left(const std::string &text);
// Columns on a terminal or in a sheet: 2 for wide characters.
int display_width(const std::string &text);

} // namespace recovery
} // namespace PaddleOCR

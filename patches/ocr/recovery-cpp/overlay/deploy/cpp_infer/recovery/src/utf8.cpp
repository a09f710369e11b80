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

#include "utf8.h"

namespace PaddleOCR {
namespace recovery {

namespace {

// Reads one code point at `i`; returns its length, or 0 when it is bad.
size_t read_code(const std::string &text, size_t i, uint32_t *code) {
  const unsigned char first = text[i];
  size_t length = 0;
  uint32_t value = 0, least = 0;
  if (first < 0x80) {
    *code = first;
    return 1;
  } else if (first >= 0xC2 && first <= 0xDF) {
    length = 2, value = first & 0x1F, least = 0x80;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3, value = first & 0x0F, least = 0x800;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4, value = first & 0x07, least = 0x10000;
  } else {
    return 0;
  }
  if (i + length > text.size())
    return 0;
  for (size_t k = 1; k < length; ++k) {
    const unsigned char next = text[i + k];
    if ((next & 0xC0) != 0x80)
      return 0;
    value = (value << 6) | (next & 0x3F);
  }
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    return 0;
  *code = value;
  return length;
}

} // namespace

size_t find_invalid_utf8(const std::string &text) {
  uint32_t code = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = read_code(text, i, &code);
    if (length == 0)
      return i;
    i += length;
  }
  return std::string::npos;
}

std::vector<uint32_t> decode_utf8(const std::string &text) {
  std::vector<uint32_t> codes;
  codes.reserve(text.size());
  uint32_t code = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = read_code(text, i, &code);
    if (length > 0) {
      codes.push_back(code);
      i += length;
      continue;
    }
    codes.push_back(0xFFFD);
    ++i;
    while (i < text.size() && (text[i] & 0xC0) == 0x80)
      ++i;
  }
  return codes;
}

void append_utf8(std::string *out, uint32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
    code = 0xFFFD;
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xC0 | (code >> 6));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xE0 | (code >> 12));
    *out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    *out += static_cast<char>(0xF0 | (code >> 18));
    *out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    *out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    *out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

std::string encode_utf8(const std::vector<uint32_t> &codes) {
  std::string out;
  for (uint32_t code : codes)
    append_utf8(&out, code);
  return out;
}

std::string xml_text(const std::string &text) {
  std::string out;
  out.reserve(text.size());
  for (uint32_t code : decode_utf8(text)) {
    const bool control = code < 0x20 && code != '\t' && code != '\n';
    if (!control && code != 0xFFFE && code != 0xFFFF)
      append_utf8(&out, code);
  }
  return out;
}

std::string trim(const std::string &text) {
  static const std::string ascii = " \t\r\n\f\v";
  static const std::string wide = "\xE3\x80\x80";
  size_t begin = 0, end = text.size();
  while (begin < end) {
    if (ascii.find(text[begin]) != std::string::npos)
      ++begin;
    else if (text.compare(begin, 3, wide) == 0)
      begin += 3;
    else
      break;
  }
  while (end > begin) {
    if (ascii.find(text[end - 1]) != std::string::npos)
      --end;
    else if (end >= begin + 3 && text.compare(end - 3, 3, wide) == 0)
      end -= 3;
    else
      break;
  }
  return text.substr(begin, end - begin);
}

std::string lower(std::string text) {
  for (char &c : text)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return text;
}

bool is_cjk(uint32_t c) {
  return (c >= 0x1100 && c <= 0x11FF) || (c >= 0x2E80 && c <= 0x9FFF) ||
         (c >= 0xAC00 && c <= 0xD7AF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0xFE30 && c <= 0xFE4F) || (c >= 0xFF01 && c <= 0xFF60) ||
         (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x20000 && c <= 0x3FFFF);
}

bool no_space(uint32_t c) {
  return is_cjk(c) && !(c >= 0x1100 && c <= 0x11FF) &&
         !(c >= 0xAC00 && c <= 0xD7AF);
}

bool is_right_to_left(uint32_t c) {
  return (c >= 0x0590 && c <= 0x08FF) || (c >= 0xFB1D && c <= 0xFDFF) ||
         (c >= 0xFE70 && c <= 0xFEFC) || (c >= 0x10800 && c <= 0x10FFF) ||
         (c >= 0x1E800 && c <= 0x1EFFF);
}

bool mostly_right_to_left(const std::string &text) {
  int right = 0, left = 0;
  for (uint32_t c : decode_utf8(text)) {
    if (is_right_to_left(c))
      ++right;
    else if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0xC0)
      ++left;
  }
  return right > left;
}

int display_width(const std::string &text) {
  int width = 0;
  for (uint32_t c : decode_utf8(text))
    width += is_cjk(c) ? 2 : 1;
  return width;
}

} // namespace recovery
} // namespace PaddleOCR

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

#include <include/recovery/stage_file.h>

#include <cstdint>
#include <cstring>

namespace PaddleOCR {
namespace recovery {

namespace {

uint32_t big(const unsigned char *p, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i)
    value = (value << 8) | p[i];
  return value;
}

uint32_t little(const unsigned char *p, int count) {
  uint32_t value = 0;
  for (int i = count; i-- > 0;)
    value = (value << 8) | p[i];
  return value;
}

// The frame header that follows the tables; everything before it has a
// length, so the walk ends.
bool jpeg_size(const std::vector<unsigned char> &b, int *width, int *height) {
  size_t i = 2;
  while (i + 4 <= b.size()) {
    if (b[i] != 0xFF)
      return false;
    const unsigned char marker = b[i + 1];
    if (marker == 0xFF) { // fill byte
      ++i;
      continue;
    }
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      i += 2;
      continue;
    }
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 &&
                       marker != 0xC8 && marker != 0xCC;
    if (frame) {
      if (i + 9 > b.size())
        return false;
      *height = static_cast<int>(big(&b[i + 5], 2));
      *width = static_cast<int>(big(&b[i + 7], 2));
      return true;
    }
    if (marker == 0xD9 || marker == 0xDA)
      return false; // data before a frame header
    const uint32_t length = big(&b[i + 2], 2);
    if (length < 2)
      return false;
    i += 2 + length;
  }
  return false;
}

} // namespace

bool image_size(const std::vector<unsigned char> &b, int *width, int *height,
                std::string *extension) {
  const unsigned char png[] = {0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A};
  uint32_t w = 0, h = 0;
  if (b.size() >= 24 && std::memcmp(b.data(), png, 8) == 0) {
    *extension = "png";
    w = big(&b[16], 4);
    h = big(&b[20], 4);
  } else if (b.size() >= 4 && b[0] == 0xFF && b[1] == 0xD8) {
    *extension = "jpeg";
    int jw = 0, jh = 0;
    if (!jpeg_size(b, &jw, &jh))
      return false;
    w = jw;
    h = jh;
  } else if (b.size() >= 10 && std::memcmp(b.data(), "GIF8", 4) == 0) {
    *extension = "gif";
    w = little(&b[6], 2);
    h = little(&b[8], 2);
  } else if (b.size() >= 26 && b[0] == 'B' && b[1] == 'M') {
    *extension = "bmp";
    w = little(&b[18], 4);
    h = little(&b[22], 4);
    if (h & 0x80000000u) // rows from the top
      h = ~h + 1;
  } else {
    return false;
  }
  if (w == 0 || h == 0 || w > 1000000 || h > 1000000)
    return false;
  *width = static_cast<int>(w);
  *height = static_cast<int>(h);
  return true;
}

} // namespace recovery
} // namespace PaddleOCR

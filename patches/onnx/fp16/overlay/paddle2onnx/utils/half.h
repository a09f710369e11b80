//   Copyright (c) 2024 PaddlePaddle Authors. All Rights Reserved.
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

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

namespace paddle2onnx {

// FP16 of a float, rounded to nearest, ties to even.
inline uint16_t FloatToHalf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) {
    return sign | 0x7e00;  // nan
  }
  if (bits >= 0x477ff000) {
    return sign | 0x7c00;  // rounds to a value beyond 65504
  }
  if (bits < 0x38800000) {  // below 2^-14: the spacing is 2^-24
    float magnitude;
    memcpy(&magnitude, &bits, sizeof(bits));
    return sign | static_cast<uint16_t>(std::nearbyint(magnitude * 16777216.f));
  }
  bits += 0xfff + ((bits >> 13) & 1);
  return sign | static_cast<uint16_t>((bits - 0x38000000) >> 13);
}

inline float HalfToFloat(uint16_t half) {
  uint32_t magnitude = half & 0x7fff;
  float value;
  if (magnitude < 0x0400) {
    value = magnitude / 16777216.f;
  } else {
    uint32_t bits = (magnitude << 13) + 0x38000000;
    if (magnitude >= 0x7c00) {
      bits += 0x38000000;  // inf and nan
    }
    memcpy(&value, &bits, sizeof(bits));
  }
  return (half & 0x8000) ? -value : value;
}

// Whether FP16 holds a value without leaving its normal numbers.
inline bool FitsHalf(float value) {
  float magnitude = std::fabs(value);
  return magnitude == 0.f ||
         (magnitude >= 6.1035156e-5f && magnitude <= 65504.f);
}

// Raw data of an FP16 tensor.
template <typename Iterator>
std::string HalfData(Iterator begin, Iterator end) {
  std::string data;
  for (; begin != end; ++begin) {
    uint16_t half = FloatToHalf(static_cast<float>(*begin));
    data.append(reinterpret_cast<const char*>(&half), sizeof(half));
  }
  return data;
}

}  // namespace paddle2onnx

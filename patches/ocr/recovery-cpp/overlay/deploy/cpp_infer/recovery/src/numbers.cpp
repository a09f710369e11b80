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

#include "numbers.h"

#include <algorithm>

namespace PaddleOCR {
namespace recovery {

namespace {

const int kDigits = 15;     // that a double holds
const int kCodeDigits = 12; // an integer of so many is a code

} // namespace

bool read_number(const std::string &text, Number *number) {
  size_t i = 0;
  bool minus = false;
  if (i < text.size() && text[i] == '-')
    minus = true, i = 1;
  else if (text.compare(0, 3, "\xE2\x88\x92") == 0) // minus sign
    minus = true, i = 3;
  const size_t begin = i;
  int whole = 0, decimals = 0, group = -1; // digits since the last comma
  bool point = false, grouped = false;
  double value = 0, scale = 1; // the digits are ASCII and few: no locale
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      value = value * 10 + (c - '0');
      scale *= point ? 10 : 1;
      ++(point ? decimals : whole);
      if (group >= 0)
        ++group;
    } else if (c == ',' && !point && whole > 0 && (group < 0 || group == 3) &&
               (grouped || whole <= 3)) {
      grouped = true;
      group = 0;
    } else if (c == '.' && !point && (group < 0 || group == 3)) {
      point = true;
      group = -1;
    } else {
      break;
    }
  }
  const bool percent = i + 1 == text.size() && text[i] == '%';
  if ((!percent && i != text.size()) || whole == 0 ||
      (group >= 0 && group != 3) || (point && decimals == 0) ||
      whole + decimals > kDigits || (whole > 1 && text[begin] == '0'))
    return false;
  if (!point && !grouped && whole >= kCodeDigits)
    return false;
  value = value / scale * (minus ? -1 : 1);
  static const char *const plain[] = {"0", "0.0", "0.00", "0.000", "0.0000"};
  static const char *const thousands[] = {"#,##0", "#,##0.0", "#,##0.00",
                                          "#,##0.000", "#,##0.0000"};
  static const char *const percents[] = {"0%", "0.0%", "0.00%", "0.000%",
                                         "0.0000%"};
  const int place = std::min(4, decimals);
  number->value = percent ? value / 100 : value;
  number->format = percent                  ? percents[place]
                   : grouped                ? thousands[place]
                   : decimals > 4 || !point ? "General"
                                            : plain[place];
  return true;
}

} // namespace recovery
} // namespace PaddleOCR

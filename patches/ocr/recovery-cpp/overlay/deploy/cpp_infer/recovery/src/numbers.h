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

#include <string>

namespace PaddleOCR {
namespace recovery {

struct Number {
  double value;
  const char *format; // of the sheet
};

// A quantity as a person would type it into a cell: digits, one sign, one
// point, commas between thousands, a percent sign. Everything else is text,
// and so are codes, whose digits must all stay: leading zeros, a leading plus,
// integers of 12 digits and more that have no commas (EAN, IMEI, cards), more
// digits than a double holds.
bool read_number(const std::string &text, Number *number);

} // namespace recovery
} // namespace PaddleOCR

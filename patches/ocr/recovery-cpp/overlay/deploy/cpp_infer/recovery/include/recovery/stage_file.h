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

// Reads what PP-Structure's Python side saves: res_<page>.txt with one JSON
// object a line (type, bbox, img_idx, res) and crops named
// "[x1, y1, x2, y2]_<page>.jpg" beside it. Valid C++11.

#include <include/recovery/structure.h>

namespace PaddleOCR {
namespace recovery {

// One res_<page>.txt. Crops are read from its directory. A line that cannot be
// read is named in `losses` of the first page; the others count. Throws
// RecoveryError with path and line when none can be read.
std::vector<Page> read_stage_file(const std::string &path);

// The same of its content; `path` gives the number of the page and the
// directory of the crops.
std::vector<Page> parse_stage(std::string content, const std::string &path);

// All res_<number>.txt of a directory in the order of their numbers. Throws
// RecoveryError when there is none.
std::vector<Page> read_stage_directory(const std::string &directory);

// Sub-directories that hold at least one res_<number>.txt, in natural order
// (page2 before page10).
std::vector<std::string> stage_directories(const std::string &directory);

// Width and height of an encoded JPEG, PNG, GIF or BMP and its extension.
// False when it is none of these or damaged in its header.
bool image_size(const std::vector<unsigned char> &bytes, int *width,
                int *height, std::string *extension);

// A whole file. Throws RecoveryError.
std::vector<unsigned char> read_file(const std::string &path);

} // namespace recovery
} // namespace PaddleOCR

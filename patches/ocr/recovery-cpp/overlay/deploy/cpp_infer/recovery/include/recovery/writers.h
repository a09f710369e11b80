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

// Document -> files. The word writer is a seam: `write_docx` is the only
// function that the rest calls. Valid C++11.

#include <include/recovery/document.h>

namespace PaddleOCR {
namespace recovery {

// The package as bytes, for callers without a file system. The same document
// gives the same bytes. Throws RecoveryError.
std::vector<unsigned char> docx_bytes(const Document &document);

// Written under a temporary name in the same directory, flushed, renamed: at
// `path` there is the whole file or what was there before. Throws
// RecoveryError with the path and the reason of the system.
void write_docx(const Document &document, const std::string &path);

// One sheet a table. Returns the number of sheets; with none no file is
// written. What a sheet cannot hold (more than 32767 characters in a cell) is
// added to `losses`. Throws RecoveryError as write_docx does.
int write_xlsx(const Document &document, const std::string &path,
               std::vector<std::string> *losses = nullptr);

} // namespace recovery
} // namespace PaddleOCR

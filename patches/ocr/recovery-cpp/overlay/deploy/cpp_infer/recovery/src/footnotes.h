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

#include "geometry.h"

namespace PaddleOCR {
namespace recovery {

// The rows of a region of footnotes, note by note: each begins with its mark.
std::vector<TextFlow> split_notes(const TextFlow &flow);

// Footnotes whose mark stands once, and beyond doubt, in the text of their
// page become footnotes of the document; the others stay paragraphs.
void link_footnotes(Document *document);

} // namespace recovery
} // namespace PaddleOCR

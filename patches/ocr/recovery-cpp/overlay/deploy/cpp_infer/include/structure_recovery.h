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

#include <include/utility.h>

#include <memory>
#include <string>

namespace PaddleOCR {

// Collects what PaddleStructure::structure found on the pages of a document
// and writes it as <output>/<name>_ocr.docx and, when there are tables,
// <output>/<name>_ocr.xlsx. Built with -DWITH_RECOVERY=ON.
class StructureRecovery {
public:
  StructureRecovery();
  ~StructureRecovery();

  // `img` is the page that `results` belong to; figures are cut from it.
  void AddPage(const cv::Mat &img,
               const std::vector<StructurePredictResult> &results);

  // Writes the pages and forgets them. False, with a message on stderr, when
  // they cannot be written; no partial file is left.
  bool Write(const std::string &output, const std::string &name);

private:
  struct Pages;
  std::unique_ptr<Pages> pages_;
};

} // namespace PaddleOCR

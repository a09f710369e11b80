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
#include <vector>

namespace PaddleOCR {

// Collects what PaddleStructure::structure found on the pages of a document
// and writes it as <output>/<name>_ocr.docx and, when there are tables,
// <output>/<name>_ocr.xlsx. Built with -DWITH_RECOVERY=ON.
class StructureRecovery {
public:
  StructureRecovery();
  ~StructureRecovery();

  // Makes the directory `output`. False, with a message on stderr, when that
  // fails or when the program was built without recovery.
  static bool Ready(const std::string &output);

  // One name a document, without its extension; images that differ only in
  // that keep it ("a.jpg" and "a.png": "a_jpg" and "a_png").
  static std::vector<std::string> Names(const std::vector<cv::String> &images);

  // Of the lines of a whole page of this size, those that are not read as a
  // whole yet: they lie outside of every region of the layout model, stick out
  // of theirs, or its crop did not show them to the detector. A box also covers
  // what the regions have of its line.
  static std::vector<OCRPredictResult>
  Unread(const std::vector<OCRPredictResult> &lines,
         const std::vector<StructurePredictResult> &regions,
         const cv::Size &page);

  // Adds such lines, when they were read, to the region that has most of them,
  // in the place of what the regions have of them, and the others as regions
  // of text.
  static void AddRead(const std::vector<OCRPredictResult> &lines,
                      std::vector<StructurePredictResult> &regions);

  // Text of a line with a blank where the ink leaves a gap as wide as one
  // between two characters that are not ideographs: the recognizer overlooks
  // some. `places` are the middles of the characters in pixels of the crop.
  static std::string WithBlanks(const cv::Mat &line,
                                const std::vector<std::string> &characters,
                                const std::vector<float> &places);

  // `img` is the page that `results` belong to; figures are cut from it.
  void AddPage(const cv::Mat &img,
               const std::vector<StructurePredictResult> &results);

  // Writes the pages and forgets them. False, with a message on stderr, when
  // they cannot be written (no partial file is left), or when something that
  // the pages show is not in the files.
  bool Write(const std::string &output, const std::string &name);

private:
  struct Pages;
  std::unique_ptr<Pages> pages_;
};

} // namespace PaddleOCR

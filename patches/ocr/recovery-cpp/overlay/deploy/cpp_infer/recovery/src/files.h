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
#include <vector>

namespace PaddleOCR {
namespace recovery {

// A file that appears whole or not at all: written beside `path` under
// another name, flushed to the device, renamed. The destructor removes what
// was not committed.
class AtomicFile {
public:
  // Throws RecoveryError when the directory cannot be written.
  explicit AtomicFile(const std::string &path);
  ~AtomicFile();
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;

  const std::string &temporary() const { return temporary_; }
  std::string directory() const;
  void write(const std::vector<unsigned char> &bytes);
  // Flushes and renames. Throws RecoveryError.
  void commit();

private:
  std::string path_, temporary_;
};

std::string error_text(int number);

} // namespace recovery
} // namespace PaddleOCR

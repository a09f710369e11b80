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

#include "files.h"

#include <include/recovery/stage_file.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#ifdef _WIN32
#include <io.h>
#include <process.h>
#include <windows.h>
#else
#include <unistd.h>
#endif

namespace PaddleOCR {
namespace recovery {

namespace {

const size_t kMaxFile = 512u << 20;

#ifdef _WIN32
int open_new(const std::string &name) {
  return _open(name.c_str(), _O_CREAT | _O_EXCL | _O_RDWR | _O_BINARY, 0644);
}
int process_id() { return _getpid(); }
void close_file(int file) { _close(file); }
bool flush_file(const std::string &) { return true; }
bool move_file(const std::string &from, const std::string &to) {
  return MoveFileExA(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING) != 0;
}
#else
// The system takes the user's mask away, as for every new file.
int open_new(const std::string &name) {
  return open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
}
int process_id() { return getpid(); }
void close_file(int file) { close(file); }
bool flush_file(const std::string &path) {
  const int file = open(path.c_str(), O_RDONLY);
  if (file < 0)
    return false;
  // a file system without fsync says EINVAL; there is nothing to flush then
  const bool good = fsync(file) == 0 || errno == EINVAL || errno == EROFS;
  const int problem = errno;
  close(file);
  errno = problem;
  return good;
}
bool move_file(const std::string &from, const std::string &to) {
  return std::rename(from.c_str(), to.c_str()) == 0;
}
#endif

// A new file beside the target; its name is not taken by another thread or
// process.
int make_file(std::string *name) {
  static std::atomic<unsigned> count(0);
  for (int i = 0; i < 1000; ++i) {
    const std::string candidate =
        *name + std::to_string(process_id()) + "_" + std::to_string(count++);
    const int file = open_new(candidate);
    if (file >= 0 || errno != EEXIST) {
      *name = candidate;
      return file;
    }
  }
  return -1;
}

bool special_file(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && !(info.st_mode & S_IFREG);
}

} // namespace

std::string error_text(int number) {
  return std::error_code(number, std::generic_category()).message();
}

AtomicFile::AtomicFile(const std::string &path) : path_(path) {
  if (path.empty())
    throw RecoveryError("cannot write: the path is empty");
  // a device or a directory must never be replaced by a file
  if (special_file(path))
    throw RecoveryError("cannot write " + path +
                        ": it exists and is not a regular file");
  temporary_ = path + ".part";
  const int file = make_file(&temporary_);
  if (file < 0) {
    const int problem = errno;
    temporary_.clear();
    throw RecoveryError("cannot write " + path + ": " + error_text(problem));
  }
  close_file(file);
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty())
    std::remove(temporary_.c_str());
}

std::string AtomicFile::directory() const {
  const size_t slash = path_.find_last_of("/\\");
  return slash == std::string::npos ? "." : path_.substr(0, slash + 1);
}

void AtomicFile::write(const std::vector<unsigned char> &bytes) {
  std::FILE *file = std::fopen(temporary_.c_str(), "wb");
  if (!file)
    throw RecoveryError("cannot write " + path_ + ": " + error_text(errno));
  errno = 0;
  const bool written =
      bytes.empty() ||
      std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  int problem = errno;
  const bool closed = std::fclose(file) == 0;
  if (written && !closed)
    problem = errno;
  if (!written || !closed)
    throw RecoveryError("cannot write " + path_ + ": " + error_text(problem));
}

void AtomicFile::commit() {
  if (!flush_file(temporary_) || !move_file(temporary_, path_))
    throw RecoveryError("cannot write " + path_ + ": " + error_text(errno));
  temporary_.clear();
}

std::vector<unsigned char> read_file(const std::string &path) {
  if (special_file(path))
    throw RecoveryError("cannot read " + path + ": not a regular file");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file)
    throw RecoveryError("cannot read " + path + ": " + error_text(errno));
  const std::streamoff size = file.tellg();
  if (size < 0 || static_cast<size_t>(size) > kMaxFile)
    throw RecoveryError("cannot read " + path + ": larger than " +
                        std::to_string(kMaxFile) + " bytes");
  std::vector<unsigned char> bytes(static_cast<size_t>(size));
  file.seekg(0);
  if (size > 0 && !file.read(reinterpret_cast<char *>(bytes.data()), size))
    throw RecoveryError("cannot read " + path + ": it ended early");
  return bytes;
}

} // namespace recovery
} // namespace PaddleOCR

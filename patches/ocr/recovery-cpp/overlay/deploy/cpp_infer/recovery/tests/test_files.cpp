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

#include "support.h"

#include <csignal>
#include <cstdio>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace PaddleOCR::recovery;
namespace fs = std::filesystem;

namespace {

Document document() {
  Region figure = region("figure", Box(0, 0, 500, 500));
  figure.image = png();
  figure.image.resize(300000); // does not shrink: it is stored
  std::string html = "<table>";
  for (int i = 0; i < 3000; ++i)
    html += "<tr><td>cell " + std::to_string(i * 7919 % 10007) + "</td></tr>";
  return build_document(
      {page({figure, table_region(html, Box(0, 600, 900, 900))})});
}

int files_in(const std::string &directory) {
  int count = 0;
  for (const auto &entry : fs::directory_iterator(directory)) {
    (void)entry;
    ++count;
  }
  return count;
}

// Runs `work` in a process that may write no file larger than `limit`: to
// the program this is what a full device is, a write that takes less.
// Returns 0 when it threw a RecoveryError that names the path.
template <class Work> int with_full_device(long limit, Work work) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit most = {static_cast<rlim_t>(limit),
                         static_cast<rlim_t>(limit)};
    setrlimit(RLIMIT_FSIZE, &most);
    int code = 1;
    try {
      work();
    } catch (const RecoveryError &problem) {
      code = std::string(problem.what()).find("cannot write") == 0 ? 0 : 3;
    } catch (...) {
      code = 2;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

} // namespace

TEST_SUITE_BEGIN("files");

TEST_CASE("a file that cannot be written is an error that names it") {
  const Document d = document();
  for (const char *path : {"/nowhere/at/all/x.docx", "", "/proc/x.docx"}) {
    INFO(path);
    CHECK_THROWS_AS(write_docx(d, path), RecoveryError);
    CHECK_THROWS_AS(write_xlsx(d, path), RecoveryError);
  }
  try {
    write_docx(d, "/nowhere/x.docx");
  } catch (const RecoveryError &problem) {
    CHECK(std::string(problem.what()) ==
          "cannot write /nowhere/x.docx: No such file or directory");
  }
}

TEST_CASE("devices and directories are not replaced") {
  const Document d = document();
  CHECK_THROWS_AS(write_docx(d, "/dev/full"), RecoveryError);
  CHECK_THROWS_AS(write_xlsx(d, "/dev/null"), RecoveryError);
  struct stat info;
  REQUIRE(stat("/dev/full", &info) == 0);
  CHECK(S_ISCHR(info.st_mode));
  const std::string directory = temporary_directory("dir");
  CHECK_THROWS_AS(write_docx(d, directory), RecoveryError);
  fs::remove_all(directory);
}

TEST_CASE("a full device: an error, nothing left, the old file untouched") {
  const std::string directory = temporary_directory("full");
  const Document d = document();
  const std::string docx = directory + "/a.docx", xlsx = directory + "/a.xlsx";
  CHECK(with_full_device(100000, [&]() { write_docx(d, docx); }) == 0);
  CHECK(with_full_device(20000, [&]() { write_xlsx(d, xlsx); }) == 0);
  CHECK(files_in(directory) == 0);
  std::ofstream(docx) << "before";
  CHECK(with_full_device(100000, [&]() { write_docx(d, docx); }) == 0);
  CHECK(files_in(directory) == 1);
  CHECK(fs::file_size(docx) == 6);
  fs::remove_all(directory);
}

TEST_CASE("with room, both are written, and nothing else") {
  const std::string directory = temporary_directory("room");
  const Document d = document();
  write_docx(d, directory + "/a.docx");
  write_xlsx(d, directory + "/a.xlsx");
  CHECK(files_in(directory) == 2);
  // as every new file of this user
  const mode_t mask = umask(027);
  write_docx(d, directory + "/b.docx");
  write_xlsx(d, directory + "/b.xlsx");
  umask(mask);
  for (const char *name : {"/b.docx", "/b.xlsx"}) {
    struct stat info;
    REQUIRE(stat((directory + name).c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0640);
  }
  pugi::xml_document xml;
  check_package(unzip_file(directory + "/a.docx"), &xml);
  fs::remove_all(directory);
}

TEST_SUITE_END();

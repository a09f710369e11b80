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

// ppocr_recover: results of PP-Structure -> .docx and .xlsx, without models.

#include <include/recovery/stage_file.h>
#include <include/recovery/writers.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>

namespace fs = std::filesystem;
using namespace PaddleOCR::recovery;

namespace {

const char kUsage[] =
    "usage: ppocr_recover --input=PATH --output=DIR [options]\n"
    "  --input     a res_<page>.txt, a directory of them, or a directory of\n"
    "              such directories (what PP-Structure wrote to its output)\n"
    "  --output    directory for <name>_ocr.docx and <name>_ocr.xlsx\n"
    "  --recovery  write the .docx (default true)\n"
    "  --excel     write the .xlsx when there are tables (default true)\n"
    "  --merge     all directories into one document (default false)\n"
    "  --page_width, --page_height   pixels of the page images (default: from\n"
    "              what lies on the page)\n"
    "  --strict    an unusable table or picture is an error (default false)\n"
    "  --replace_invalid_utf8        U+FFFD instead of an error (default "
    "false)\n"
    "  --font, --east_asian_font     of the body (default: Times New Roman,\n"
    "              SimSun by its Chinese name)\n"
    "Exit code: 0 good, 1 something was not written or is not in the document\n"
    "([ERROR] and [LOST] on stderr say what), 2 wrong flags.\n";

struct Flags {
  std::map<std::string, std::string> values = {
      {"input", ""},
      {"output", ""},
      {"recovery", "true"},
      {"excel", "true"},
      {"merge", "false"},
      {"page_width", "0"},
      {"page_height", "0"},
      {"strict", "false"},
      {"replace_invalid_utf8", "false"},
      {"font", ""},
      {"east_asian_font", ""}};

  void parse(int argc, char **argv) {
    for (int i = 1; i < argc; ++i) {
      std::string word = argv[i];
      if (word.compare(0, 2, "--") != 0)
        throw std::invalid_argument("what is " + word + "?");
      word = word.substr(2);
      const size_t equal = word.find('=');
      const std::string key = word.substr(0, equal);
      const auto found = values.find(key);
      if (found == values.end())
        throw std::invalid_argument("no flag --" + key);
      found->second =
          equal == std::string::npos ? "true" : word.substr(equal + 1);
    }
  }
  bool truth(const std::string &key) const {
    const std::string &value = values.at(key);
    if (value == "true" || value == "True" || value == "1")
      return true;
    if (value == "false" || value == "False" || value == "0")
      return false;
    throw std::invalid_argument("--" + key + "=" + value +
                                ": true or false is wanted");
  }
  float pixels(const std::string &key) const {
    char *end = nullptr;
    const std::string &value = values.at(key);
    const float number = std::strtof(value.c_str(), &end);
    if (value.empty() || *end != 0 || !(number >= 0 && number < 1e6))
      throw std::invalid_argument("--" + key + "=" + value +
                                  ": pixels are wanted");
    return number;
  }
};

struct Job {
  std::string name;
  std::vector<std::string> directories;
  std::string file; // or one file
};

std::string base_name(const fs::path &path) {
  const fs::path clean = fs::absolute(path).lexically_normal();
  const std::string name = clean.filename().string();
  return name.empty() ? clean.parent_path().filename().string() : name;
}

std::vector<Job> jobs_of(const std::string &input, bool merge) {
  if (fs::is_regular_file(input))
    return {Job{fs::path(input).stem().string(), {}, input}};
  if (!fs::is_directory(input))
    throw RecoveryError("--input: no file or directory " + input);
  const std::vector<std::string> below = stage_directories(input);
  if (below.empty())
    return {Job{base_name(input), {input}, ""}};
  if (merge)
    return {Job{base_name(input), below, ""}};
  std::vector<Job> jobs;
  for (const std::string &directory : below)
    jobs.push_back(Job{base_name(directory), {directory}, ""});
  return jobs;
}

std::vector<Page> pages_of(const Job &job, float width, float height) {
  std::vector<Page> pages;
  if (!job.file.empty())
    pages = read_stage_file(job.file);
  for (const std::string &directory : job.directories)
    for (Page &page : read_stage_directory(directory))
      pages.push_back(std::move(page));
  for (Page &page : pages) {
    page.width = width;
    page.height = height;
  }
  return pages;
}

// False when content of the pages is in no file.
bool recover(const Job &job, const Flags &flags) {
  BuildOptions options;
  options.font = flags.values.at("font");
  options.east_asian_font = flags.values.at("east_asian_font");
  options.strict = flags.truth("strict");
  options.replace_invalid_utf8 = flags.truth("replace_invalid_utf8");
  const Document document = build_document(
      pages_of(job, flags.pixels("page_width"), flags.pixels("page_height")),
      options);
  for (const std::string &warning : document.warnings)
    std::cerr << "[WARNING] " << job.name << ": " << warning << std::endl;
  std::vector<std::string> losses = document.losses;
  const fs::path stem =
      fs::path(flags.values.at("output")) / (job.name + "_ocr");
  if (flags.truth("recovery")) {
    write_docx(document, stem.string() + ".docx");
    std::cout << "docx save to " << stem.string() << ".docx" << std::endl;
  }
  if (flags.truth("excel")) {
    const int sheets = write_xlsx(document, stem.string() + ".xlsx", &losses);
    if (sheets > 0)
      std::cout << "xlsx save to " << stem.string() << ".xlsx (" << sheets
                << (sheets == 1 ? " sheet)" : " sheets)") << std::endl;
  }
  for (const std::string &loss : losses)
    std::cerr << "[LOST] " << job.name << ": " << loss << std::endl;
  return losses.empty();
}

} // namespace

int main(int argc, char **argv) {
  Flags flags;
  try {
    flags.parse(argc, argv);
    if (flags.values["input"].empty() || flags.values["output"].empty())
      throw std::invalid_argument("--input and --output are needed");
    for (const char *key :
         {"recovery", "excel", "merge", "strict", "replace_invalid_utf8"})
      flags.truth(key);
    flags.pixels("page_width");
    flags.pixels("page_height");
  } catch (const std::invalid_argument &problem) {
    std::cerr << "[ERROR] " << problem.what() << "\n" << kUsage;
    return 2;
  }
  int failed = 0;
  try {
    const std::vector<Job> jobs =
        jobs_of(flags.values["input"], flags.truth("merge"));
    std::error_code problem;
    fs::create_directories(flags.values["output"], problem);
    if (problem)
      throw RecoveryError("cannot make " + flags.values["output"] + ": " +
                          problem.message());
    for (const Job &job : jobs) {
      try { // one bad result does not lose the others
        failed += !recover(job, flags);
      } catch (const std::exception &error) {
        std::cerr << "[ERROR] " << job.name << ": " << error.what()
                  << std::endl;
        ++failed;
      }
    }
  } catch (const std::exception &error) {
    std::cerr << "[ERROR] " << error.what() << std::endl;
    ++failed;
  }
  return failed == 0 ? 0 : 1;
}

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

#include "docx_parts.h"
#include "files.h"

#include <include/recovery/writers.h>

#include <zip.h>

namespace PaddleOCR {
namespace recovery {

namespace {

std::string message(zip_error_t *error) {
  const std::string text = zip_error_strerror(error);
  zip_error_fini(error);
  return text;
}

[[noreturn]] void fail(const std::string &what, const std::string &why) {
  throw RecoveryError("docx: " + what + ": " + why);
}

// Owns the archive until it is closed, and the buffer it is written to.
struct Archive {
  zip_source_t *buffer = nullptr;
  zip_t *zip = nullptr;
  ~Archive() {
    if (zip)
      zip_discard(zip);
    if (buffer)
      zip_source_free(buffer);
  }
};

} // namespace

std::vector<unsigned char> zip_parts(const std::vector<Part> &parts) {
  zip_error_t error;
  zip_error_init(&error);
  Archive archive;
  archive.buffer = zip_source_buffer_create(nullptr, 0, 0, &error);
  if (!archive.buffer)
    fail("no buffer", message(&error));
  zip_source_keep(archive.buffer); // closing the archive gives one up
  archive.zip = zip_open_from_source(archive.buffer, ZIP_TRUNCATE, &error);
  if (!archive.zip) {
    zip_source_free(archive.buffer);
    fail("no archive", message(&error));
  }
  for (const Part &part : parts) {
    zip_source_t *source =
        zip_source_buffer(archive.zip, part.bytes.data(), part.bytes.size(), 0);
    const zip_int64_t index = source
                                  ? zip_file_add(archive.zip, part.name.c_str(),
                                                 source, ZIP_FL_ENC_UTF_8)
                                  : -1;
    if (index < 0) {
      const std::string why = zip_strerror(archive.zip);
      if (source)
        zip_source_free(source);
      fail(part.name, why);
    }
    const zip_uint64_t entry = static_cast<zip_uint64_t>(index);
    const bool set =
        zip_set_file_compression(
            archive.zip, entry, part.compressed ? ZIP_CM_DEFLATE : ZIP_CM_STORE,
            6) == 0 &&
        // 1980-01-01: the least date of the format, whatever the time zone
        zip_file_set_dostime(archive.zip, entry, 0, 0x21, 0) == 0;
    if (!set)
      fail(part.name, zip_strerror(archive.zip));
  }
  if (zip_close(archive.zip) != 0)
    fail("closing", zip_strerror(archive.zip));
  archive.zip = nullptr;

  zip_stat_t info;
  zip_stat_init(&info);
  if (zip_source_stat(archive.buffer, &info) != 0 ||
      !(info.valid & ZIP_STAT_SIZE))
    fail("its size", "not known");
  std::vector<unsigned char> bytes(info.size);
  if (zip_source_open(archive.buffer) != 0)
    fail("reading back", zip_error_strerror(zip_source_error(archive.buffer)));
  const zip_int64_t read =
      zip_source_read(archive.buffer, bytes.data(), bytes.size());
  zip_source_close(archive.buffer);
  if (read != static_cast<zip_int64_t>(bytes.size()))
    fail("reading back", "it ended early");
  return bytes;
}

std::vector<unsigned char> docx_bytes(const Document &document) {
  return zip_parts(make_parts(document));
}

void write_docx(const Document &document, const std::string &path) {
  AtomicFile file(path); // an unwritable path shows before the work
  file.write(docx_bytes(document));
  file.commit();
}

} // namespace recovery
} // namespace PaddleOCR

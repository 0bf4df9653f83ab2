// OpenAI's files: what GET and POST /v1/files and the routes below say. A file is an upload under another id; which
// rows and bytes are behind it is not known here. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/core.h"

namespace gbgreg::protocols::openai_files {

// "file-0193e2a4-…" of the upload 0193e2a4-…, and back; nothing for what is no id of a file.
std::string file_id(std::string_view upload_id);
std::optional<std::string> upload_id(std::string_view file_id);

// What a client may say that a file is for. Nothing here depends on it.
bool is_purpose(std::string_view purpose);
// What files may be listed by: those, and what OpenAI's own files are for, of which there are none here.
bool is_listed_purpose(std::string_view purpose);

// Of a file whose upload came without one.
inline constexpr std::string_view kPurposeOfUploads = "user_data";

struct File {
  std::string upload_id;
  std::string filename;
  std::string purpose;
  std::uint64_t size_bytes = 0;
  WallTime created;
};

std::string write_file(const File& file);
std::string write_files(std::span<const File> files, bool has_more);
std::string write_deleted(std::string_view upload_id);

}  // namespace gbgreg::protocols::openai_files

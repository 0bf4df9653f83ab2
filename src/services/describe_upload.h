// What the bytes and the name of an upload say about it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "storage/uploads.h"

namespace gbgreg::services {

// What is said about a file besides its bytes.
struct FileFacts {
  std::string client_filename;  // As it came: any bytes.
  std::optional<std::string> description = {};
  std::optional<std::string> purpose = {};  // What an OpenAI client says that it is for.
};

// The row but for its digest. `sample` is the front of the file. Pure but for the magic database.
storage::Upload describe_upload(std::string id, WallTime now, std::string_view sample, std::uint64_t size_bytes,
                                const FileFacts& facts);

}  // namespace gbgreg::services

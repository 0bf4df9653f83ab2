// Bounds of what a request may carry, filled by config/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gbgreg::http {

struct Options {
  std::uint64_t upload_bytes_max = 100 * 1024 * 1024;  // `limits.upload_bytes_max`: of one file.
  std::uint64_t json_bytes_max = 32 * 1024 * 1024;     // `limits.json_bytes_max`: of one JSON body, images included.
  std::uint64_t json_bytes_held_max = 1024 * 1024 * 1024;  // Of all JSON bodies that are held at once.
  bool unknown_binaries_allowed = false;  // `uploads.allow_unknown_binaries`: files of no known use, and programs.
  std::vector<std::string> hosts = {};    // `hosts`: names under which web pages may reach us (web_guard.h).
  std::vector<std::string> origins = {};  // `origins`: whose pages may ask beside our own and this machine's.
  bool any_origin = false;                // Any page may ask. Only where nobody is answered without a key.
};

}  // namespace gbgreg::http

// Whatever a file is called, what becomes of its name is a path that leads nowhere but down.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "core/utf8.h"
#include "intake/entry_names.h"

namespace {

using gbgreg::intake::EntryNames;
using gbgreg::intake::OtherBytes;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_path(std::string_view path) {
  check(gbgreg::is_valid_utf8(path) && path.size() <= gbgreg::intake::kPathBytesMax);
  check(!path.starts_with('/') && !path.ends_with('/') && !path.contains('\\') && !path.contains('\0'));
  std::size_t depth = 0;
  while (!path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    check(!component.empty() && component != "." && component != "..");
    check(component.size() <= gbgreg::intake::kComponentBytesMax && ++depth <= 8);
    path.remove_prefix(component.size() == path.size() ? path.size() : component.size() + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  EntryNames names;
  // One name a line, so that they can be in each other's way.
  for (std::size_t at = 0; at <= all.size();) {
    const std::size_t end = std::min(all.find('\n', at), all.size());
    const std::string_view name = all.substr(at, end - at);
    at = end + 1;
    for (const OtherBytes other : {OtherBytes::are_faults, OtherBytes::are_cp437}) {
      const auto path = gbgreg::intake::entry_path(name, 8, other);
      if (!path) continue;
      check_path(*path);
      if (path->empty()) continue;
      if (names.take_file(*path)) check(!names.take_file(*path));
      // What was made of it once stays as it is.
      check(gbgreg::intake::entry_path(*path, 8, other).value_or("") == *path);
    }
  }
  return 0;
}

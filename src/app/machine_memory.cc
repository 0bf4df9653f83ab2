#include "app/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "fleet/memory_plan.h"

namespace gbgreg::app {
namespace {

// "MemTotal:       24600000 kB"; 0 when it does not say.
std::int64_t total_of(const std::filesystem::path& meminfo) {
  std::ifstream file(meminfo);
  std::string name;
  std::int64_t kilobytes = 0;
  while (file >> name) {
    if (name == "MemTotal:" && file >> kilobytes) return kilobytes * 1024;
    file.ignore(4096, '\n');
  }
  return 0;
}

// Of a container: a number, or "max". 0 when there is none.
std::int64_t limit_of(const std::filesystem::path& group) {
  std::ifstream file(group);
  std::int64_t bytes = 0;
  return file >> bytes && bytes > 0 ? bytes : 0;
}

}  // namespace

std::int64_t memory_for_models(const std::filesystem::path& root) {
  std::int64_t bytes = total_of(root / "proc/meminfo");
  for (const char* group : {"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (const std::int64_t limit = limit_of(root / group); limit > 0)
      bytes = bytes > 0 ? std::min(bytes, limit) : limit;
  }
  return bytes > 0 ? bytes / 10 * 9 : fleet::Memory::kUnbounded;
}

}  // namespace gbgreg::app

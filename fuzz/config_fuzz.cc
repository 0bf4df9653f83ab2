// Any bytes as a configuration file: settings within their ranges, or an Error that says what is wrong.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "config/config.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

std::optional<std::string> no_variables(const std::string&) { return std::nullopt; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A file in memory, because the configuration is read from a file and from nothing else.
  const int file = ::memfd_create("config.yaml", MFD_CLOEXEC);
  check(file >= 0 && ::write(file, data, size) == static_cast<ssize_t>(size));
  gbgreg::config::Flags flags;
  flags.config = "/proc/self/fd/" + std::to_string(file);
  const auto config = gbgreg::config::load(flags, no_variables);
  ::close(file);
  if (!config) {
    check(config.error().kind == gbgreg::Kind::malformed && config.error().message.size() > flags.config->size());
    return 0;
  }
  check(!config->listen.empty() && !config->fleet.workers.empty());
  for (const auto& worker : config->fleet.workers) {
    check(!worker.model.empty() && worker.is_stored == worker.model_file.empty());
    check(worker.slots >= 1 && worker.context_tokens >= 64 && worker.objective_ms >= 1);
  }
  return 0;
}

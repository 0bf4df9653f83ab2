#include "app/open_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace gbgreg::app {

OpenFilesLimit raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {.before = 0, .now = RLIM_INFINITY};
  const std::uint64_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  const bool is_raised = ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
  return {.before = before, .now = is_raised ? limit.rlim_max : before};
}

int connections_within(std::uint64_t open_files_max, int connections_wanted) {
  const std::uint64_t reserved = std::min(kFilesReserved, open_files_max / 2);
  const std::uint64_t room = std::max<std::uint64_t>(1, open_files_max - reserved);
  return static_cast<int>(std::min<std::uint64_t>(room, static_cast<std::uint64_t>(connections_wanted)));
}

}  // namespace gbgreg::app

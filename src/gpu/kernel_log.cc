#include "gpu/kernel_log.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace gbgreg::gpu {
namespace {

// 79: it fell off the bus. 119, 120: its firmware does not answer. 154: it has to be reset.
constexpr std::array<int, 4> kHangs = {79, 119, 120, 154};

}  // namespace

bool tells_of_hang(std::string_view line) {
  const std::size_t at = line.find("Xid");
  const std::size_t colon = at == std::string_view::npos ? at : line.find("): ", at);
  if (colon == std::string_view::npos) return false;
  int number = 0;
  const std::string_view rest = line.substr(colon + 3);
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return read.ec == std::errc{} && std::ranges::find(kHangs, number) != kHangs.end();
}

std::string newest_hang(const HostFiles& files) {
  const auto log = files.text("/dev/kmsg");
  if (!log) return {};
  std::string_view newest;
  std::string_view rest = *log;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (tells_of_hang(line)) newest = line;
  }
  return std::string(newest);
}

}  // namespace gbgreg::gpu

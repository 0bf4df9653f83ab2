// What a jail says is read however it comes, and makes of any bytes either messages within their bounds or a fault.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "intake/jail_messages.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0];
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  gbgreg::intake::JailMessages messages;
  std::size_t taken = 0;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, piece);
    rest.remove_prefix(part.size());
    std::ranges::copy(part, messages.room(part.size()));
    messages.got(part.size());
    while (true) {
      const auto next = messages.next();
      if (!next) return 0;
      if (!*next) break;
      std::string_view payload = (*next)->payload;
      check(payload.size() <= gbgreg::intake::kJailMessageBytesMax);
      taken += gbgreg::intake::kJailMessageHeadBytes + payload.size();
      check(taken < size);
      while (gbgreg::intake::take_u64(payload)) {
      }
      check(payload.size() < 8);
    }
  }
  return 0;
}

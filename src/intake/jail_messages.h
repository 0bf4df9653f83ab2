// What a jail program (jail/) says to the gateway on its standard output, message after message:
//
//   one byte       what it is: a letter, each program's own
//   four bytes     how many bytes follow, little-endian, at most kJailMessageBytesMax
//   those bytes
//
// Pure. A jail that opens hostile files may have fallen into hostile hands, so this is read like any foreign bytes:
// bounded, and fuzzed (fuzz/jail_messages_fuzz.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gbgreg::intake {

inline constexpr std::size_t kJailMessageHeadBytes = 5;
inline constexpr std::size_t kJailMessageBytesMax = 65'536;

struct JailMessage {
  char type = 0;
  std::string_view payload = {};
};

// Takes messages out of what has come so far.
class JailMessages {
 public:
  // Where the next `size` bytes go; call got() with how many came. At most one message is held back, and its payload.
  char* room(std::size_t size);
  void got(std::size_t size);

  // The next whole message; its payload holds until room() is called. Nothing when more bytes must come first.
  // Errors: backend_failed (jail_garbled) for a length beyond the bound; nothing can be read after it.
  Result<std::optional<JailMessage>> next();

 private:
  std::string bytes_;
  std::size_t begin_ = 0;  // Of what has not been taken out.
  std::size_t end_ = 0;    // Of what has come.
};

// Reads little-endian numbers off the front of a payload, which it shortens; nothing when it is too short.
std::optional<std::uint32_t> take_u32(std::string_view& payload);
std::optional<std::uint64_t> take_u64(std::string_view& payload);

}  // namespace gbgreg::intake

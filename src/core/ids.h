// Identifiers. Any thread may call these.
#pragma once

#include <string>
#include <string_view>

#include "core/clock.h"

namespace gbgreg {

// A UUIDv7: sorts by the time it was made, 74 random bits. "0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f".
std::string new_uuid(WallTime now);

// The same, each greater than the one before: rows that come in the order of their ids are written faster. As unique as
// others. One thread at a time.
class UuidSequence {
 public:
  std::string next(WallTime now);

 private:
  std::uint64_t last_ = 0;  // Its upper half without the version: milliseconds, and a number of twelve bits.
};

// The smallest that new_uuid() makes at that time or later.
std::string first_uuid_of(WallTime time);

// True for the canonical lower- or upper-case 8-4-4-4-12 form, any version.
bool is_uuid(std::string_view text);

// A client may send its own X-Request-Id: 1 to 128 characters out of letters, digits and "-_.:".
bool is_valid_request_id(std::string_view text);

// `bytes` random bytes from the kernel, as lower-case hex: for secrets, such as a worker's key.
std::string random_hex(int bytes);

}  // namespace gbgreg

// Whether keys are asked for, filled by config/.
#pragma once

#include <cstdint>

namespace gbgreg::keys {

enum class Required : std::uint8_t {
  automatic,  // As soon as there is a key, even one that is revoked or expired, or where others could reach us.
  always,
  never,
};

struct Options {
  Required required = Required::automatic;  // `auth.required`
};

}  // namespace gbgreg::keys

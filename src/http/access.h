// Who may come in at a route (key_gate.h).
#pragma once

#include <cstdint>

namespace gbgreg::http {

enum class Access : std::uint8_t {
  key,    // Whoever has a key, and where none are asked for, whoever comes.
  admin,  // Likewise, but the key has to be an admin's.
  keys,   // An admin's key in any case: where nobody needs one, strangers must not make themselves some.
  open,   // Whoever comes, always.
};

}  // namespace gbgreg::http

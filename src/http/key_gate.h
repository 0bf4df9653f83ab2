// Whether a request may come in: whose key it brings, whether that counts, and whether its minute has room for one
// more. Before a byte of its body is read.
//
// One object, called on every I/O thread; it takes no lock but that of the key's own account, and asks no database.
#pragma once

#include <optional>

#include "core/core.h"
#include "http/access.h"
#include "http/call.h"
#include "services/keys.h"

namespace gbgreg::http {

class KeyGate {
 public:
  // Both outlive this.
  KeyGate(services::Keys& keys, const Clock& clock) : keys_(keys), clock_(clock) {}

  // Tells the call whose it is, and its answer what the key has left. Errors: unauthorized (key_missing, key_invalid,
  // key_expired, key_revoked), forbidden (admin_only), busy (requests_per_minute_exceeded).
  // What is returned without being an error may be got yet: let_in_later() is to be asked.
  Result<std::optional<keys::Refused>> let_in(Call& call, Access access);
  // Waits for a moment whether others have what the key lacks. Errors: as above.
  Task<Result<void>> let_in_later(Call& call, Access access, keys::Refused lacking);

 private:
  services::Keys& keys_;
  const Clock& clock_;
};

}  // namespace gbgreg::http

// GET and POST /api/keys, DELETE /api/keys/{id}. The story is services/keys.h's.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/keys.h"

namespace gbgreg::http {

class KeyHandlers {
 public:
  // All outlive this.
  KeyHandlers(services::Keys& keys, const Clock& clock, JsonReading& json) : keys_(keys), clock_(clock), json_(json) {}

  Task<Result<void>> list(Call& call);
  Task<Result<void>> create(Call& call);
  Task<Result<void>> revoke(Call& call);

 private:
  services::Keys& keys_;
  const Clock& clock_;
  JsonReading& json_;
};

// The body of POST /api/keys. A field that it does not know is refused: a limit whose name was mistyped would be none.
// Errors: malformed.
Result<services::WantedKey> parse_wanted_key(std::string_view body, const protocols::Limits& limits);

}  // namespace gbgreg::http

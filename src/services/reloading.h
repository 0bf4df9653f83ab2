// Takes another configuration while the gateway runs. What that is, and whom it concerns, is known above
// (app/reload.h).
#pragma once

#include "core/core.h"
#include "protocols/native.h"

namespace gbgreg::services {

class Reloading {
 public:
  virtual ~Reloading() = default;

  // Comes back when the new configuration is in force; models may still be loading. Whoever leaves does not stop it.
  // One at a time, the others wait. Errors: refused bad_configuration (with the file, the line and the key at fault;
  // nothing has changed), busy (too many wait), unavailable (the gateway is stopping).
  virtual Task<Result<protocols::native::ReloadReport>> reload() = 0;
};

}  // namespace gbgreg::services

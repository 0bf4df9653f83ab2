// POST /api/reload. What happens is services/reloading.h's.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "services/reloading.h"

namespace gbgreg::http {

class ReloadHandlers {
 public:
  explicit ReloadHandlers(services::Reloading& reloading) : reloading_(reloading) {}

  Task<Result<void>> reload(Call& call);

 private:
  services::Reloading& reloading_;
};

}  // namespace gbgreg::http

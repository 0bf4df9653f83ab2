// GET /api/audit. The story is services/audit.h's.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "services/audit.h"

namespace gbgreg::http {

class AuditHandlers {
 public:
  // It outlives this.
  explicit AuditHandlers(services::Audit& audit) : audit_(audit) {}

  // ?limit&cursor&action&actor
  Task<Result<void>> list(Call& call);

 private:
  services::Audit& audit_;
};

}  // namespace gbgreg::http

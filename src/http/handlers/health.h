// /health and its small sisters, /metrics, /api/version. The figures come from services/health.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "metrics/metrics.h"
#include "services/health.h"

namespace gbgreg::http {

class HealthHandlers {
 public:
  HealthHandlers(services::Health& health, const metrics::Registry& registry);

  Task<Result<void>> health(Call& call);
  Task<Result<void>> live(Call& call);
  Task<Result<void>> ready(Call& call);
  Task<Result<void>> metrics(Call& call);
  Task<Result<void>> version(Call& call);

 private:
  services::Health& health_;
  const metrics::Registry& registry_;
};

}  // namespace gbgreg::http

#include "services/first_byte.h"

#include <algorithm>

namespace gbgreg::services {

std::chrono::milliseconds first_byte_within(const llm::BackendView& backend, Coming coming,
                                            std::optional<int> tokens_max, std::chrono::milliseconds time_left,
                                            const FirstByteLimits& limits) {
  const double latency_ms = backend.latency_ms.value_or(0);
  double allowed_ms = std::max({static_cast<double>(limits.least.count()),
                                static_cast<double>(limits.objectives) * backend.objective_ms,
                                static_cast<double>(limits.latencies) * latency_ms});
  if (coming == Coming::whole) {
    const int tokens = std::min(tokens_max.value_or(backend.context_tokens), std::max(1, backend.context_tokens));
    const double rate = std::max(1.0, backend.tokens_per_second.value_or(limits.tokens_per_second));
    allowed_ms += 1000.0 * tokens / rate;
  }
  const double share_ms = std::max(static_cast<double>(time_left.count()) / 2, 1.5 * latency_ms);
  return std::chrono::milliseconds{static_cast<std::int64_t>(std::min(allowed_ms, share_ms))};
}

}  // namespace gbgreg::services

#include "services/failovers.h"

namespace gbgreg::services {

Failovers::Failovers(metrics::Registry& registry, std::span<const llm::BackendView> backends, bool embedding) {
  for (const llm::BackendView& backend : backends) {
    if (backend.embeds != embedding) continue;
    by_backend_[backend.id] = &registry.counter(
        "gbgreg_failovers_total", "Requests given to another backend because the one that was asked first failed.",
        metrics::label("role", backend.role) + "," + metrics::label("from", backend.id), metrics::Shown::once_counted);
  }
}

void Failovers::count(int lane, std::string_view from) const {
  if (const auto found = by_backend_.find(from); found != by_backend_.end()) found->second->add(lane);
}

}  // namespace gbgreg::services

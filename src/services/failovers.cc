#include "services/failovers.h"

#include <utility>

namespace gbgreg::services {
namespace {

constexpr std::string_view kOther = "other";

}  // namespace

Failovers::Failovers(metrics::Registry& registry, Work work)
    : registry_(registry), work_(work), other_(make(kOther, kOther)) {}

metrics::Counter& Failovers::make(std::string_view role, std::string_view from) {
  std::string labels = metrics::label("role", role);
  labels.append(",").append(metrics::label("from", from));
  labels.append(",").append(metrics::label("work", word_of(work_)));
  return registry_.counter("gbgreg_failovers_total",
                           "Requests given to another backend because the one that was asked first failed.",
                           std::move(labels), metrics::Shown::once_counted);
}

void Failovers::count(int lane, std::string_view role, std::string_view from) {
  const std::scoped_lock lock(mutex_);
  auto found = by_backend_.find(from);
  if (found == by_backend_.end() && by_backend_.size() < kBackendsMax) {
    found = by_backend_.emplace(from, &make(role, from)).first;
  }
  (found == by_backend_.end() ? other_ : *found->second).add(lane);
}

}  // namespace gbgreg::services

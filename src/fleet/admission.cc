#include "fleet/admission.h"

#include <algorithm>
#include <cmath>

namespace gbgreg::fleet {
namespace {

using std::chrono::milliseconds;

constexpr double kNewestShare = 0.2;  // Of the newest figure in a smoothed one.

milliseconds rounded_up(double ms) { return milliseconds{static_cast<std::int64_t>(std::ceil(ms))}; }

}  // namespace

void Admission::measured(double slot_ms) {
  slot_ms_ = slot_ms_ == 0 ? slot_ms : slot_ms_ + kNewestShare * (slot_ms - slot_ms_);
}

milliseconds Admission::wait_behind(int before) const {
  const int releases = std::max(0, before + 1 - options_.slots);
  return rounded_up(releases * slot_ms_ / options_.slots);
}

milliseconds Admission::wait_allowed(const Waiter& waiter, SteadyTime now) const {
  const auto until_deadline = std::chrono::floor<milliseconds>(waiter.deadline - now);
  if (waiter.priority == llm::Priority::batch) return until_deadline;
  const auto objective = static_cast<double>(options_.objective.count());
  const double left = objective - slot_ms_;
  const auto by_objective = left > 0 ? rounded_up(left * kGivenAway) : options_.objective;
  return std::min(until_deadline, options_.wait_max.value_or(by_objective));
}

int Admission::retry_after_seconds(llm::CallerId caller, milliseconds until_free, int callers, SteadyTime now) {
  SteadyTime& promised = promised_until(caller, now);
  const SteadyTime latest = now + std::chrono::seconds{kRetryAfterSecondsMax};
  const SteadyTime back_at = std::min(latest, std::max(promised, now + until_free));
  promised = back_at + rounded_up(callers * slot_ms_ / options_.slots);
  return std::max(1, static_cast<int>(std::chrono::ceil<std::chrono::seconds>(back_at - now).count()));
}

SteadyTime& Admission::promised_until(llm::CallerId caller, SteadyTime now) {
  std::erase_if(promises_, [&](const Promise& promise) { return promise.caller != caller && promise.until <= now; });
  const auto found = std::ranges::find(promises_, caller, &Promise::caller);
  if (found != promises_.end()) return found->until;
  if (promises_.size() == kPromisesMax) promises_.erase(promises_.begin());
  return promises_.emplace_back(caller, now).until;
}

}  // namespace gbgreg::fleet

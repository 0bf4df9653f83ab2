// Whether a request may wait for a slot: only where it will probably get one in time, by what answers have taken so
// far. Who may not hears so at once, and when to come back.
//
// Without a measurement nobody is refused here; the length of the queue is bounded all the same (scheduler.h). Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "core/core.h"
#include "fleet/fair_queue.h"
#include "fleet/options.h"
#include "llm/llm.h"

namespace gbgreg::fleet {

struct AdmissionOptions {
  int slots = 1;
  std::chrono::milliseconds objective{5'000};
  std::optional<std::chrono::milliseconds> wait_max = {};  // Options::queue_wait_max.
};

class Admission {
 public:
  // Of what the objective leaves for waiting, the part that is given away: answers do not all take the same time.
  static constexpr double kGivenAway = 0.8;
  static constexpr int kRetryAfterSecondsMax = 60;
  // Callers whose next visit is kept in mind at once.
  static constexpr std::size_t kPromisesMax = 256;

  explicit Admission(const AdmissionOptions& options) : options_(options) {}
  // What was measured stays.
  void adopt(const AdmissionOptions& options) { options_ = options; }

  // An answer held its slot for so long.
  void measured(double slot_ms);

  // How long a request waits that finds so many before it: those that have slots and those whose turn comes first.
  std::chrono::milliseconds wait_behind(int before) const;
  // How long this one may wait: no longer than to its deadline, and if somebody sits before it, so that its answer is
  // there within the objective. Where no answer ever is, a wait as long as the objective is the most that is added.
  std::chrono::milliseconds wait_allowed(const Waiter& waiter, SteadyTime now) const;

  // When to come back, for a caller that a place will be free for after `until_free` and that has a turn in every
  // `callers`. Each one told is another who will be there, so the next one is told a later time.
  int retry_after_seconds(llm::CallerId caller, std::chrono::milliseconds until_free, int callers, SteadyTime now);

 private:
  struct Promise {
    llm::CallerId caller;
    SteadyTime until;  // Whoever was told to come back will have been here by then.
  };
  SteadyTime& promised_until(llm::CallerId caller, SteadyTime now);

  AdmissionOptions options_;
  double slot_ms_ = 0;  // Smoothed; zero before the first answer.
  std::vector<Promise> promises_;
};

}  // namespace gbgreg::fleet

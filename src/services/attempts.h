// How often a request is given to a worker, and whose fault it is when that goes wrong: what the stories that ask a
// model have in common. One object for one request; it belongs to that request's task.
#pragma once

#include <optional>

#include "core/core.h"
#include "fleet/fleet.h"

namespace gbgreg::services {

struct AttemptLimits {
  int attempts_max = 3;  // A request that no reader has seen a byte of is given to a worker so many times …
  // … unless so many took it and died or answered garbage: then it is its own doing, for it was the only retry there.
  int failures_max = 2;
  int backends_max = 8;  // Of several that can answer, so many are asked.
};

class Attempts {
 public:
  // The clock outlives this. From `deadline` on nothing is a worker's fault.
  Attempts(const AttemptLimits& limits, const Clock& clock, SteadyTime deadline)
      : limits_(limits), clock_(clock), deadline_(deadline) {}

  // Begins another one: how the fleet is to take it.
  fleet::Attempt begin() { return ++begun_ == 1 ? fleet::Attempt::first : fleet::Attempt::retry; }

  // The attempt that has begun failed: tells the fleet when the worker is to blame. True when it is the kind of failure
  // that another attempt may mend.
  bool failed(const Error& error, fleet::Lease& lease) const;
  // After failed() was true: what the client is told, or nothing when it is tried again.
  std::optional<Error> give_up(const Error& last);
  // Whether one more backend may be asked, where there is another that can answer: a failure there is nobody's second.
  bool may_ask_another() const { return begun_ < limits_.backends_max; }

 private:
  const AttemptLimits& limits_;
  const Clock& clock_;
  SteadyTime deadline_;
  int begun_ = 0;
  int failures_ = 0;
};

}  // namespace gbgreg::services

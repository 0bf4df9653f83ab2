// Who waits for a worker or a server, as people see it. Pure.
#pragma once

#include <cstddef>

#include "core/core.h"
#include "fleet/fair_queue.h"
#include "llm/fleet_view.h"

namespace gbgreg::fleet {

// Of all who wait; the lengths count the others.
inline constexpr std::size_t kWaitersShownMax = 50;

// `retries` may be null; they are served first, then those who are interactive.
llm::QueueView queue_view(SteadyTime now, const FairQueue* retries, const FairQueue& interactive,
                          const FairQueue& batch);

}  // namespace gbgreg::fleet

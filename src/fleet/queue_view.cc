#include "fleet/queue_view.h"

namespace gbgreg::fleet {

llm::QueueView queue_view(SteadyTime now, const FairQueue* retries, const FairQueue& interactive,
                          const FairQueue& batch) {
  llm::QueueView view{.interactive = interactive.size(), .batch = batch.size()};
  if (retries != nullptr) view.retries = retries->size();
  for (const FairQueue* queue : {retries, &interactive, &batch}) {
    if (queue == nullptr) continue;
    for (const Waiter& waiter : queue->in_turn(kWaitersShownMax - view.first.size())) {
      llm::WaitingRequest shown{.priority = waiter.priority,
                                .is_retry = waiter.is_retry,
                                .waited_ms = milliseconds_between(waiter.since, now)};
      if (waiter.deadline != SteadyTime::max()) shown.deadline_in_ms = milliseconds_between(now, waiter.deadline);
      view.first.push_back(shown);
    }
  }
  return view;
}

}  // namespace gbgreg::fleet

#include "fleet/fair_queue.h"

#include <algorithm>
#include <utility>

namespace gbgreg::fleet {

void FairQueue::push(const Waiter& waiter, SteadyTime now) {
  remember(waiter.caller, now);
  auto line = line_of(waiter.caller);
  if (line == lines_.end()) line = lines_.insert(lines_.end(), {.caller = waiter.caller, .waiters = {}});
  line->waiters.push_back(waiter);
  line->waiters.back().since = now;
  ++size_;
}

Waiter FairQueue::pop() {
  const auto line = lines_.begin();
  const Waiter next = line->waiters.front();
  line->waiters.pop_front();
  --size_;
  if (line->waiters.empty()) {
    lines_.erase(line);
  } else {
    lines_.splice(lines_.end(), lines_, line);
  }
  return next;
}

Waiter FairQueue::pop_one_too_many(llm::CallerId newcomer) {
  const auto length = [&](const Line& line) { return std::pair(line.waiters.size(), line.caller == newcomer); };
  const auto longest = std::ranges::max_element(lines_, {}, length);
  const Waiter newest = longest->waiters.back();
  longest->waiters.pop_back();
  --size_;
  if (longest->waiters.empty()) lines_.erase(longest);
  return newest;
}

void FairQueue::withdraw(WaiterId waiter) {
  for (Line& line : lines_) {
    size_ -= static_cast<int>(std::erase_if(line.waiters, [&](const Waiter& other) { return other.id == waiter; }));
  }
  std::erase_if(lines_, [](const Line& line) { return line.waiters.empty(); });
}

std::vector<WaiterId> FairQueue::pop_late(SteadyTime now) {
  std::vector<WaiterId> late;
  for (Line& line : lines_) {
    std::erase_if(line.waiters, [&](const Waiter& waiter) {
      const bool is_late = waiter.deadline <= now;
      if (is_late) late.push_back(waiter.id);
      return is_late;
    });
  }
  std::erase_if(lines_, [](const Line& line) { return line.waiters.empty(); });
  size_ -= static_cast<int>(late.size());
  return late;
}

std::vector<Waiter> FairQueue::pop_all() {
  std::vector<Waiter> all;
  all.reserve(static_cast<std::size_t>(size_));
  while (!empty()) all.push_back(pop());
  return all;
}

std::vector<Waiter> FairQueue::in_turn(std::size_t most) const {
  std::vector<Waiter> found;
  found.reserve(std::min(most, static_cast<std::size_t>(size_)));
  for (std::size_t round = 0; found.size() < std::min(most, static_cast<std::size_t>(size_)); ++round) {
    for (const Line& line : lines_) {
      if (round < line.waiters.size() && found.size() < most) found.push_back(line.waiters[round]);
    }
  }
  return found;
}

// In the round that it joins it stands behind all who wait now; who comes later joins behind it. Each request of its
// own before it is another round, in which everybody who comes again has a turn.
int FairQueue::turns_before_next(llm::CallerId caller, SteadyTime now) const {
  const int own = waiting(caller);
  const int others_waiting = static_cast<int>(lines_.size()) - (own > 0 ? 1 : 0);
  return others_waiting + own * (1 + others_lately(caller, now));
}

int FairQueue::others_lately(llm::CallerId caller, SteadyTime now) const {
  const auto waits = [&](llm::CallerId other) { return waiting(other) > 0; };
  const auto counts = [&](const Visit& visit) {
    return visit.caller != caller && (visit.last + kRemembered > now) && !waits(visit.caller);
  };
  const auto came = std::ranges::count_if(visits_, counts);
  const auto waiting_others = std::ranges::count_if(lines_, [&](const Line& line) { return line.caller != caller; });
  return static_cast<int>(came + waiting_others);
}

SteadyTime FairQueue::next_deadline() const {
  SteadyTime next = SteadyTime::max();
  for (const Line& line : lines_) {
    for (const Waiter& waiter : line.waiters) next = std::min(next, waiter.deadline);
  }
  return next;
}

std::optional<SteadyTime> FairQueue::waiting_since() const {
  std::optional<SteadyTime> since;
  for (const Line& line : lines_)
    since = std::min(since.value_or(line.waiters.front().since), line.waiters.front().since);
  return since;
}

std::list<FairQueue::Line>::iterator FairQueue::line_of(llm::CallerId caller) {
  return std::ranges::find(lines_, caller, &Line::caller);
}

int FairQueue::waiting(llm::CallerId caller) const {
  const auto line = std::ranges::find(lines_, caller, &Line::caller);
  return line == lines_.end() ? 0 : static_cast<int>(line->waiters.size());
}

void FairQueue::remember(llm::CallerId caller, SteadyTime now) {
  std::erase_if(visits_, [&](const Visit& visit) { return visit.caller == caller || visit.last + kRemembered <= now; });
  if (visits_.size() == kRememberedMax) visits_.erase(visits_.begin());  // The one who has been away longest.
  visits_.push_back({.caller = caller, .last = now});
}

}  // namespace gbgreg::fleet

// Requests that wait for one worker: callers take turns, and the requests of each caller keep their order.
//
// So a caller with hundreds of them delays another one by a turn, not by hundreds. Pure; its scheduler owns it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"

namespace gbgreg::fleet {

using WaiterId = std::uint64_t;

// A request that wants a slot.
struct Waiter {
  WaiterId id = 0;
  llm::CallerId caller = {};
  llm::Priority priority = llm::Priority::interactive;
  SteadyTime deadline = SteadyTime::max();
  SteadyTime since = {};  // Set by push().
  bool is_retry = false;  // It had a slot before, and the worker broke down over it, or over one of its neighbours.
};

class FairQueue {
 public:
  // Whoever came within so long is taken to come again.
  static constexpr std::chrono::milliseconds kRemembered{5'000};
  // Of those who came, how many are remembered. They are only counted.
  static constexpr std::size_t kRememberedMax = 256;

  void push(const Waiter& waiter, SteadyTime now);
  // Whose turn it is; the next turn of the same caller comes after everybody else's. Not for an empty queue.
  Waiter pop();
  // The newest request of the caller with the most of them: of `newcomer`, where it is one of several such. Not for an
  // empty queue.
  Waiter pop_one_too_many(llm::CallerId newcomer);
  void withdraw(WaiterId waiter);
  // Those whose deadline has passed.
  std::vector<WaiterId> pop_late(SteadyTime now);
  // In the order of their turns.
  std::vector<Waiter> pop_all();

  // The first `most` of them, in the order in which they would be popped if nobody else came.
  std::vector<Waiter> in_turn(std::size_t most) const;

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // How many turns go before one more request of this caller, if all others who came lately go on asking: at the end of
  // its line it waits for one turn of each of them for every request before it.
  int turns_before_next(llm::CallerId caller, SteadyTime now) const;
  // The other callers who wait or came lately.
  int others_lately(llm::CallerId caller, SteadyTime now) const;
  SteadyTime next_deadline() const;
  // Since when the one waits that has waited longest; absent when nobody does.
  std::optional<SteadyTime> waiting_since() const;

 private:
  struct Line {
    llm::CallerId caller;
    std::deque<Waiter> waiters;  // Never empty.
  };
  struct Visit {
    llm::CallerId caller;
    SteadyTime last;
  };
  std::list<Line>::iterator line_of(llm::CallerId caller);
  int waiting(llm::CallerId caller) const;
  void remember(llm::CallerId caller, SteadyTime now);

  std::list<Line> lines_;  // The front has the next turn.
  std::vector<Visit> visits_;
  int size_ = 0;
};

}  // namespace gbgreg::fleet

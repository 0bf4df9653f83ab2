#include "net/deadline_wheel.h"

#include <algorithm>

namespace gbgreg::net {

void Deadline::disarm() {
  if (wheel_ != nullptr) wheel_->unlink(*this);
}

DeadlineWheel::DeadlineWheel(IoContext& context)
    : timer_(context.get_executor()), start_(std::chrono::steady_clock::now()) {}

std::uint64_t DeadlineWheel::now_tick() const {
  return static_cast<std::uint64_t>((std::chrono::steady_clock::now() - start_) / kTick);
}

void DeadlineWheel::arm(Deadline& deadline, std::chrono::milliseconds from_now) {
  deadline.disarm();
  // An idle wheel stands still, so it has to catch up before a new deadline is placed on it.
  if (armed_ == 0) turned_to_ = now_tick();
  const auto ticks =
      static_cast<std::uint64_t>((std::max(from_now, kTick) + kTick - std::chrono::milliseconds{1}) / kTick);
  // One more, because the current tick is partly over already: late is allowed, early is not.
  deadline.tick_ = now_tick() + ticks + 1;
  deadline.wheel_ = this;
  link(deadline, deadline.tick_ % kSlots);
  ++armed_;
  if (!ticking_) schedule();
}

void DeadlineWheel::link(Deadline& deadline, std::size_t slot) {
  deadline.slot_ = slot;
  deadline.previous_ = nullptr;
  deadline.next_ = slots_[slot];
  if (deadline.next_ != nullptr) deadline.next_->previous_ = &deadline;
  slots_[slot] = &deadline;
}

void DeadlineWheel::unlink(Deadline& deadline) {
  if (deadline.previous_ != nullptr) {
    deadline.previous_->next_ = deadline.next_;
  } else {
    slots_[deadline.slot_] = deadline.next_;
  }
  if (deadline.next_ != nullptr) deadline.next_->previous_ = deadline.previous_;
  deadline.previous_ = deadline.next_ = nullptr;
  deadline.wheel_ = nullptr;
  --armed_;
}

void DeadlineWheel::schedule() {
  timer_.expires_after(kTick);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    turn();
    ticking_ = false;
    if (armed_ > 0) schedule();
  });
  // Not before: a wait that cannot begin, because memory is short, is for the next arm() to begin.
  ticking_ = true;
}

void DeadlineWheel::turn() {
  const std::uint64_t now = now_tick();
  // After a long stop of the process one round over all slots sees everything.
  const std::uint64_t last = std::min(now, turned_to_ + kSlots);
  for (std::uint64_t tick = turned_to_ + 1; tick <= last; ++tick) {
    const std::size_t slot = tick % kSlots;
    // Those due are collected first, because expired() may arm and disarm others of this list.
    while (true) {
      Deadline* due = slots_[slot];
      while (due != nullptr && due->tick_ > now) due = due->next_;
      if (due == nullptr) break;
      unlink(*due);
      due->expired();
    }
  }
  turned_to_ = now;
}

}  // namespace gbgreg::net

#include "fleet/breaker.h"

#include <algorithm>

namespace gbgreg::fleet {

void Breaker::check_passed(SteadyTime now) {
  was_checked_ = true;
  check_at_ = now + kCheckInterval;
  if (state_ != State::open) return;
  failures_ = 0;
  state_ = has_failed_ ? State::half_open : State::closed;
}

void Breaker::check_failed(SteadyTime now) {
  was_checked_ = true;
  if (state_ == State::open) return open(now);
  check_at_ = now + kDelayMin;  // Whether it was the moment or the server is soon known.
  request_failed(now);
}

void Breaker::request_succeeded() {
  failures_ = 0;
  // One that was under way when it opened says nothing about now.
  if (state_ != State::half_open) return;
  state_ = State::closed;
  has_failed_ = false;
  delay_ = kDelayMin;
}

void Breaker::request_failed(SteadyTime now) {
  if (state_ == State::open) return;
  if (state_ == State::half_open || ++failures_ >= kFailuresUntilOpen) open(now);
}

void Breaker::cannot_be_used(SteadyTime now) {
  if (state_ != State::open) open(now);
}

void Breaker::open(SteadyTime now) {
  state_ = State::open;
  has_failed_ = true;
  check_at_ = now + delay_;
  delay_ = std::min(delay_ * 2, kDelayMax);
}

}  // namespace gbgreg::fleet

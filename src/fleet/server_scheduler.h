// Who may use an outside server next: its slots, the fair queue before them and its circuit breaker. Pure.
//
// As Scheduler (scheduler.h) without a process: what breaks is not started again, but asked now and then.
#pragma once

#include <optional>
#include <string>

#include "fleet/admission.h"
#include "fleet/breaker.h"
#include "fleet/fair_queue.h"
#include "fleet/queue_view.h"
#include "fleet/scheduler.h"
#include "llm/fleet_view.h"

namespace gbgreg::fleet {

struct ServerSchedulerOptions {
  std::string server;  // As the owner calls it.
  int slots = 4;
  int queue_max = 64;
  std::chrono::milliseconds objective{5'000};
  std::optional<std::chrono::milliseconds> queue_wait_max = {};
};

class ServerScheduler {
 public:
  static constexpr int kRetryAfterSecondsMax = Admission::kRetryAfterSecondsMax;

  ServerScheduler(ServerSchedulerOptions options, SteadyTime now);

  // The actions are Grant and Refuse; CheckEngine when it is time to ask it, and then one of the two below is told.
  Actions check_passed(SteadyTime now);
  Actions check_failed(SteadyTime now, const Error& why);
  Actions stop(SteadyTime now);

  Actions ask(SteadyTime now, const Waiter& waiter);
  void withdraw(WaiterId waiter);
  Actions release(SteadyTime now);
  void request_succeeded(double slot_ms);
  // By its error: put off for a while (busy), not to be used (unavailable, or the key is refused), or a failure.
  Actions request_failed(SteadyTime now, const Error& why);

  int lend(SteadyTime now);
  Actions take_back(SteadyTime now, int left);

  Actions time_passed(SteadyTime now);
  std::optional<SteadyTime> next_event() const;

  llm::BackendState state() const;
  int slots_free() const { return state() == llm::BackendState::ready ? std::max(0, slots() - busy_ - lent_) : 0; }
  int queued() const { return interactive_.size() + batch_.size(); }
  std::string detail() const;
  // Slots that are out, those included that are lent and that nobody has taken.
  int busy() const { return busy_ + lent_; }
  llm::QueueView queue(SteadyTime now) const { return queue_view(now, nullptr, interactive_, batch_); }
  llm::ServerState server(SteadyTime now) const;

 private:
  int slots() const { return breaker_.state() == Breaker::State::half_open ? 1 : options_.slots; }
  bool is_put_off() const { return put_off_until_.has_value(); }
  FairQueue& queue_of(const Waiter& waiter);
  void hand_out_slots(SteadyTime now, Actions& actions);
  void refuse_all(SteadyTime now, Actions& actions);
  Error refusal(SteadyTime now) const;
  void note(SteadyTime now, const Error& why);

  ServerSchedulerOptions options_;
  Breaker breaker_;
  Admission admission_;
  FairQueue interactive_, batch_;
  bool closed_ = false;
  bool checking_ = false;
  bool key_refused_ = false;
  int busy_ = 0;
  int lent_ = 0;
  std::string trouble_;     // A sentence; cleared when it is well again …
  std::string last_error_;  // … and this one is not.
  SteadyTime last_error_at_ = {};
  std::optional<SteadyTime> put_off_until_;
};

}  // namespace gbgreg::fleet

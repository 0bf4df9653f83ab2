// Who may use an outside server next: its slots, the fair queue before them and its circuit breaker. Pure.
//
// As Scheduler (scheduler.h) without a process: what breaks is not started again, but asked now and then. Each time it
// breaks, the slots that are out belong to a generation that is over: how their requests end says nothing about the
// server as it is now, and they do not count as the one request that may try it.
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

  // Other bounds and promises, from now on, and slots: those that are out above the new number come back unused.
  Actions adopt(SteadyTime now, ServerSchedulerOptions options);
  // It is another server, or another key is shown to it: what was known of it counts no more, and it is asked anew.
  void forget_how_it_was(SteadyTime now);

  Actions ask(SteadyTime now, const Waiter& waiter);
  void withdraw(WaiterId waiter);
  // Of the slots that are handed out from now on; told again with what becomes of them.
  std::uint64_t generation() const { return generation_; }
  Actions release(SteadyTime now, std::uint64_t generation);
  void request_succeeded(std::uint64_t generation, double slot_ms);
  // By its error: put off for a while (busy), not to be used (unavailable, or the key is refused), a failure, or
  // nothing that says anything about the server (it has not the one model).
  Actions request_failed(SteadyTime now, std::uint64_t generation, const Error& why);

  int lend(SteadyTime now);
  Actions take_back(SteadyTime now, int left);

  Actions time_passed(SteadyTime now);
  std::optional<SteadyTime> next_event() const;

  // While the one request tries it, loading: others are asked first, and who has no other waits.
  llm::BackendState state() const;
  Breaker::State breaker() const { return breaker_.state(); }
  int slots_free() const { return state() == llm::BackendState::ready ? std::max(0, slots() - busy_ - lent_) : 0; }
  int queued() const { return interactive_.size() + batch_.size(); }
  std::string detail() const;
  // Slots that are out, those included that are lent and that nobody has taken.
  int busy() const { return busy_ + lent_; }
  llm::QueueView queue(SteadyTime now) const { return queue_view(now, nullptr, interactive_, batch_); }
  llm::ServerState server(SteadyTime now) const;

 private:
  bool is_half_open() const { return breaker_.state() == Breaker::State::half_open; }
  int slots() const { return is_half_open() ? 1 : std::max(0, options_.slots - busy_before_); }
  void put_off(SteadyTime now, const Error& why);
  void note_opened(Breaker::State before);
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
  std::uint64_t generation_ = 1;
  int busy_ = 0;         // Of this generation …
  int busy_before_ = 0;  // … and of all before.
  int lent_ = 0;
  std::string trouble_;     // A sentence; cleared when it is well again …
  std::string last_error_;  // … and this one is not.
  SteadyTime last_error_at_ = {};
  std::optional<SteadyTime> put_off_until_;
};

}  // namespace gbgreg::fleet

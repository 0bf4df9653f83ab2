// What one worker does next: start, wait, hand out a slot, end. The decisions, without a process, a thread or a clock.
//
//   sleeping ──start──► loading ──ready──► ready ──unload, stop──► draining ──ended──► sleeping, stopped
//                        ▲   │ ended/timed out │ ended
//                        └───┴── after a delay ┘
//
// A sleeping one wants to start when somebody asks for it; whether there is memory for it is decided elsewhere
// (memory_plan.h).
//
// It is failed after too many ends without having been ready, though slow retries go on, and when its process does not
// end though it was killed.
//
// Each event comes with the time and returns the actions to take, in order; Worker (worker.h) takes them. Events of an
// earlier life of the worker carry its generation and change nothing in the present one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/core.h"
#include "fleet/admission.h"
#include "fleet/fair_queue.h"
#include "fleet/options.h"
#include "fleet/queue_view.h"
#include "llm/fleet_view.h"
#include "llm/llm.h"

namespace gbgreg::fleet {

struct StartProcess {
};  // Begin the life that generation() now names, then tell process_started or process_not_started.
struct AskToExit {};
struct KillProcess {};
struct AbandonProcess {};  // It does not end even when killed: stop waiting for it.
struct CheckEngine {};     // Ask it for a sign of life, then tell engine_answered or engine_missed_check.
struct Grant {
  WaiterId waiter = 0;
  bool is_retry = false;  // To be told to release().
};
struct Refuse {
  WaiterId waiter = 0;
  Error error = {};
};
using Action = std::variant<StartProcess, AskToExit, KillProcess, AbandonProcess, CheckEngine, Grant, Refuse>;
using Actions = std::vector<Action>;

struct SchedulerOptions {
  std::string model;            // As clients name it.
  std::string model_file_name;  // Without its folder.
  int slots = 1;
  int queue_max = 64;
  std::chrono::milliseconds objective{5'000};
  std::optional<std::chrono::milliseconds> queue_wait_max = {};  // As in Options.
  std::chrono::milliseconds load_timeout{120'000};
  std::chrono::milliseconds stop_timeout{3'000};
  std::chrono::milliseconds restart_delay_min{250};
  std::chrono::milliseconds restart_delay_max{30'000};
  std::chrono::milliseconds restart_forgiven_after{60'000};
  int crashes_until_failed = 5;
  int failures_until_restart = 5;
  std::chrono::milliseconds check_interval{2'000};
  int checks_missed_max = 3;
};

class Scheduler {
 public:
  // After a request failed, no slot is handed out for this long: a process that is dying needs a moment to be seen
  // dead.
  static constexpr std::chrono::milliseconds kSuspicion{50};
  // How often a missing file is looked for again, at least.
  static constexpr std::chrono::milliseconds kRecheckMax{5'000};
  // Retries that wait for one worker. One life leaves as many as it has slots at most; past this a worker dies faster
  // than they can be served.
  static constexpr int kRetriesMax = 256;

  explicit Scheduler(SchedulerOptions options);

  // Wakes one that sleeps.
  Actions start(SteadyTime now);
  // What failed before counts no more, because somebody says that it may be mended. One that waits for its next try, or
  // whose start was refused, sleeps now.
  void forgive();
  // To be woken again by the next request: no more slots are handed out, and when the last one is back the process is
  // told to end. Who waits goes on waiting, and so wakes it. One that has failed is tried no more until somebody asks.
  Actions unload(SteadyTime now);
  // As unload(), and starts again at once: what it is doing is ended first.
  Actions restart(SteadyTime now);
  // For good: waiting requests are refused, and so is every later one.
  Actions stop(SteadyTime now);
  // For good as well, but what it answers is finished before the process is told to end. Nobody waits any more, or
  // asks.
  Actions retire(SteadyTime now);
  // All who wait, in their turns; they are told nothing, and wait here no more.
  std::vector<Waiter> take_waiting();

  // Other bounds and promises, from now on; the slots are the process's own and stay.
  void adopt(SchedulerOptions options);

  Actions process_started(SteadyTime now);
  // It could not even begin: a file is missing. `why` is a sentence that says what to do.
  Actions process_not_started(SteadyTime now, std::string why);
  void process_loads(SteadyTime now, std::optional<double> progress);
  Actions process_ready(SteadyTime now);
  // It is ready and may not be used: it is not where its role wants it. It is ended, the worker is failed, and another
  // try follows after the longest delay, for loading takes long and a card seldom comes back by itself. `why` is a
  // sentence.
  Actions process_unfit(SteadyTime now, std::string why);
  // `how` is ProcessEnd::sentence(), `last_words` are the engine's own, or empty.
  Actions process_ended(SteadyTime now, std::string_view how, std::string_view last_words);

  // A request that would probably wait too long is refused at once (admission.h). When the queue is full, one is
  // refused of the caller with the most that wait, its newest: a batch request where there is one, for an interactive
  // one. A retry goes before all who have not been served yet, and takes no place of the queue: its client has waited
  // in it once. But one of them runs at a time, so that a prompt that kills its worker does not take those down a
  // second time that were beside it.
  Actions ask(SteadyTime now, Waiter waiter);
  // The request went away; it is told nothing.
  void withdraw(WaiterId waiter);
  Actions release(SteadyTime now, std::uint64_t generation, bool is_retry);
  void request_succeeded(std::uint64_t generation, double slot_ms);
  Actions request_failed(SteadyTime now, std::uint64_t generation);
  // A further attempt of a request that request_failed has told: as bad a sign, but one request counts once.
  void request_failed_again(SteadyTime now, std::uint64_t generation);

  // There is not enough memory for it, even alone: whoever waits is refused, and so is who comes, until start().
  // `why` is a sentence.
  Actions refuse_start(SteadyTime now, std::string why);

  // There may be enough now: it sleeps again, and may be asked for.
  Actions reconsider(SteadyTime now);

  // Slots that are handed out without asking here, while nobody waits and the worker is well: how many more may be so.
  int lend(SteadyTime now);
  // No more of them are: `left` had not been handed out. The others are busy, until release() says otherwise.
  Actions take_back(SteadyTime now, int left);

  Actions engine_answered(SteadyTime now, std::uint64_t generation);
  Actions engine_missed_check(SteadyTime now, std::uint64_t generation);

  // Deadlines, delays, timeouts. To be called at next_event() at the latest. Of the slots that are lent, `lent_free`
  // have not been handed out.
  Actions time_passed(SteadyTime now, int lent_free = 0);
  std::optional<SteadyTime> next_event() const;

  llm::BackendState state() const;
  // It has no process, and needs none until somebody asks.
  bool is_asleep() const { return phase_ == Phase::stopped && !closed_ && !retires_; }
  bool is_up() const { return phase_ == Phase::ready; }
  // It sleeps, and somebody waits for it.
  bool wants_start() const;
  // It was told to unload, and has not ended yet.
  bool leaves() const { return yields_ || (phase_ == Phase::draining && !closed_); }
  // Since when the one that has waited longest waits; absent when nobody does.
  std::optional<SteadyTime> waiting_since() const;
  // Slots that are out, those included that are lent and that nobody has taken.
  int busy() const { return busy_ + lent_; }
  std::uint64_t generation() const { return generation_; }
  // Without those that are lent.
  int slots_free() const;
  // All who wait, retries too.
  int queued() const { return retries_.size() + interactive_.size() + batch_.size(); }
  int restarts() const { return restarts_; }
  // It waits for the next try.
  bool is_delayed() const { return phase_ == Phase::delayed; }
  // Of loading, 0 to 1, where the engine has said it.
  std::optional<double> progress() const { return phase_ == Phase::loading ? progress_ : std::nullopt; }
  // Who waits, as people see it.
  llm::QueueView queue(SteadyTime now) const { return queue_view(now, &retries_, interactive_, batch_); }
  // A sentence for /health when there is something to say, else empty.
  std::string detail() const;

 private:
  enum class Phase : std::uint8_t { stopped, delayed, starting, loading, ready, draining };

  void sleep_unblamed();
  void leave_when_idle(SteadyTime now, Actions& actions);
  void begin_life(Actions& actions);
  void forget_life();
  void begin_life_after(SteadyTime now, std::chrono::milliseconds delay, Actions& actions);
  void check_engine(SteadyTime now, int lent_free, Actions& actions);
  void hand_out_slots(SteadyTime now, Actions& actions);
  std::optional<Error> refuse_to_wait(SteadyTime now, const Waiter& waiter);
  FairQueue& queue_of(const Waiter& waiter);
  FairQueue* next_queue();
  void refuse_one_too_many(SteadyTime now, FairQueue& queue, llm::CallerId newcomer, Actions& actions);
  void expire(FairQueue& queue, SteadyTime now, Actions& actions);
  void refuse_all(SteadyTime now, Actions& actions);
  void kill_once(SteadyTime now, Actions& actions, std::string why);
  bool waits_for_its_end() const;
  void give_up_for_now(SteadyTime now, Actions& actions);
  std::chrono::milliseconds restart_delay() const;
  Error unavailable(SteadyTime now) const;
  Error queue_full(SteadyTime now, const FairQueue& queue, llm::CallerId caller);
  Error too_late() const;

  SchedulerOptions options_;
  Phase phase_ = Phase::stopped;
  bool closed_ = false;     // stop() was called.
  bool retires_ = false;    // retire() was: it has no life after this one.
  bool failed_ = false;     // Requests are told so at once, whatever the phase.
  bool not_begun_ = false;  // …because its files were missing, which the next start may find mended.
  bool unfit_ = false;      // …because this life's process may not be used.
  bool yields_ = false;     // It hands out no more slots, and ends when the last one is back …
  bool returns_ = false;    // … to start again.
  bool killed_ = false;     // In this life, by us …
  bool stuck_ = false;      // … and it did not end: failed, until it does.
  std::string killed_why_;  // "did not become ready within 120 s"
  std::string trouble_;     // The sentence about the last end; cleared when ready.
  std::uint64_t generation_ = 0;
  int busy_ = 0;  // With lent_ these are the slots that are out, and the lent ones that nobody has taken yet.
  int lent_ = 0;
  bool retry_runs_ = false;  // One of the busy slots is a retry's.
  int restarts_ = 0;
  int crashes_ = 0;          // For the delay: in a row, until a long life forgives them.
  int failed_loads_ = 0;     // In a row, until ready.
  int failed_requests_ = 0;  // In a row.
  std::optional<double> progress_;
  SteadyTime start_at_ = {};
  SteadyTime last_progress_ = {};
  SteadyTime ready_since_ = {};
  SteadyTime stop_asked_ = {};
  SteadyTime killed_at_ = {};
  std::optional<SteadyTime> check_at_;  // The next one; none while one is under way.
  bool checking_ = false;
  SteadyTime checked_at_ = {};  // When the one under way, or the last one, began.
  int checks_missed_ = 0;       // In a row.
  std::optional<SteadyTime> suspect_until_;
  Admission admission_;
  FairQueue retries_, interactive_, batch_;
};

}  // namespace gbgreg::fleet

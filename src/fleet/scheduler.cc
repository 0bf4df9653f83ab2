#include "fleet/scheduler.h"

#include <algorithm>
#include <utility>

namespace gbgreg::fleet {
namespace {

constexpr int kRetryAfterSecondsMax = Admission::kRetryAfterSecondsMax;

int retry_after_seconds(std::chrono::milliseconds wait) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return static_cast<int>(std::clamp<std::int64_t>(seconds, 1, kRetryAfterSecondsMax));
}

std::string in_seconds(std::chrono::milliseconds duration) {
  const auto count = duration.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + " s" : std::to_string(count) + " ms";
}

}  // namespace

Scheduler::Scheduler(SchedulerOptions options)
    : options_(std::move(options)),
      admission_({.slots = options_.slots, .objective = options_.objective, .wait_max = options_.queue_wait_max}) {}

Actions Scheduler::start(SteadyTime now) {
  Actions actions;
  if (phase_ == Phase::stopped && !closed_) begin_life_after(now, std::chrono::milliseconds{0}, actions);
  return actions;
}

void Scheduler::forgive() {
  if (closed_ || stuck_) return;
  crashes_ = failed_loads_ = 0;
  if (phase_ == Phase::stopped || phase_ == Phase::delayed) return sleep_unblamed();
  // The try that is under way may go well, and who comes may wait for it.
  if (phase_ == Phase::loading && !killed_) failed_ = false;
}

void Scheduler::sleep_unblamed() {
  phase_ = Phase::stopped;
  failed_ = not_begun_ = unfit_ = false;
  trouble_.clear();
}

Actions Scheduler::unload(SteadyTime now) {
  Actions actions;
  if (closed_ || stuck_ || yields_) return actions;
  switch (phase_) {
    case Phase::draining:
      break;
    case Phase::stopped:
    case Phase::delayed:
      sleep_unblamed();
      break;
    case Phase::starting:
    case Phase::loading:
    case Phase::ready:
      yields_ = true;
      leave_when_idle(now, actions);
      break;
  }
  return actions;
}

Actions Scheduler::restart(SteadyTime now) {
  failed_ = stuck_ && failed_;
  crashes_ = failed_loads_ = 0;
  if (phase_ == Phase::stopped || phase_ == Phase::delayed) {
    if (!closed_) phase_ = Phase::stopped;
    return start(now);
  }
  Actions actions = unload(now);
  returns_ = leaves();
  return actions;
}

Actions Scheduler::refuse_start(SteadyTime now, std::string why) {
  Actions actions;
  if (phase_ != Phase::stopped || closed_) return actions;
  failed_ = unfit_ = true;
  trouble_ = std::move(why);
  refuse_all(now, actions);
  return actions;
}

Actions Scheduler::reconsider(SteadyTime) {
  if (phase_ == Phase::stopped && !closed_ && unfit_) {
    failed_ = unfit_ = false;
    trouble_.clear();
  }
  return {};
}

// While it loads the engine does not listen to its stdin, and there is nothing to finish.
void Scheduler::leave_when_idle(SteadyTime now, Actions& actions) {
  if (!yields_) return;
  if (phase_ == Phase::loading && !killed_) {
    phase_ = Phase::draining;
    stop_asked_ = now;
    kill_once(now, actions, "was stopped while loading");
  }
  if (phase_ != Phase::ready || killed_ || busy_ + lent_ > 0) return;
  phase_ = Phase::draining;
  stop_asked_ = now;
  check_at_.reset();
  actions.push_back(AskToExit{});
}

Actions Scheduler::stop(SteadyTime now) {
  Actions actions;
  if (closed_) return actions;
  closed_ = true;
  failed_ = stuck_ = yields_ = false;
  refuse_all(now, actions);
  const bool has_process = phase_ == Phase::starting || phase_ == Phase::loading || phase_ == Phase::ready;
  if (!has_process) {
    phase_ = Phase::stopped;
    return actions;
  }
  // While it loads the engine does not listen to its stdin, and there is nothing to finish.
  const bool listens = phase_ == Phase::ready;
  phase_ = Phase::draining;
  stop_asked_ = now;
  if (listens) {
    actions.push_back(AskToExit{});
  } else {
    kill_once(now, actions, "was stopped while loading");
  }
  return actions;
}

// One that is stuck keeps its memory until it ends, so it is not over before that.
Actions Scheduler::retire(SteadyTime now) {
  Actions actions;
  if (closed_ || retires_) return actions;
  retires_ = true;
  returns_ = false;
  if (phase_ == Phase::delayed) phase_ = Phase::stopped;
  if (phase_ == Phase::stopped || phase_ == Phase::draining || stuck_) return actions;
  yields_ = true;
  leave_when_idle(now, actions);
  return actions;
}

std::vector<Waiter> Scheduler::take_waiting() {
  std::vector<Waiter> waiting;
  for (auto* queue : {&retries_, &interactive_, &batch_}) {
    for (Waiter& waiter : queue->pop_all()) waiting.push_back(waiter);
  }
  return waiting;
}

void Scheduler::adopt(SchedulerOptions options) {
  options.slots = options_.slots;
  options_ = std::move(options);
  admission_.adopt({.slots = options_.slots, .objective = options_.objective, .wait_max = options_.queue_wait_max});
}

Actions Scheduler::process_started(SteadyTime now) {
  if (phase_ != Phase::starting) return {};
  phase_ = Phase::loading;
  last_progress_ = now;
  // What was missing is there now: requests may wait for it again.
  if (not_begun_) failed_ = not_begun_ = false;
  Actions actions;
  leave_when_idle(now, actions);
  return actions;
}

Actions Scheduler::process_not_started(SteadyTime now, std::string why) {
  Actions actions;
  yields_ = false;
  if (phase_ == Phase::draining || retires_) {
    phase_ = Phase::stopped;
    return actions;
  }
  failed_ = not_begun_ = true;
  trouble_ = std::move(why);
  busy_ = 0;
  phase_ = Phase::delayed;
  start_at_ = now + std::min(kRecheckMax, options_.restart_delay_max);
  refuse_all(now, actions);
  return actions;
}

void Scheduler::process_loads(SteadyTime now, std::optional<double> progress) {
  if (phase_ != Phase::loading) return;
  // A slow disk is not a hang: the timeout runs from the last step forward.
  if (progress && (!progress_ || *progress > *progress_)) {
    progress_ = progress;
    last_progress_ = now;
  }
}

Actions Scheduler::process_ready(SteadyTime now) {
  Actions actions;
  if (phase_ != Phase::loading || killed_) return actions;
  phase_ = Phase::ready;
  ready_since_ = now;
  failed_ = false;
  failed_loads_ = 0;
  failed_requests_ = 0;
  trouble_.clear();
  hand_out_slots(now, actions);
  return actions;
}

Actions Scheduler::process_unfit(SteadyTime now, std::string why) {
  Actions actions;
  if (phase_ != Phase::loading || killed_) return actions;
  unfit_ = failed_ = true;
  trouble_ = why;
  kill_once(now, actions, std::move(why));
  refuse_all(now, actions);
  return actions;
}

Actions Scheduler::process_ended(SteadyTime now, std::string_view how, std::string_view last_words) {
  Actions actions;
  forget_life();
  if (stuck_) stuck_ = failed_ = false;
  const bool was_told_to = phase_ == Phase::draining || closed_ || yields_ || retires_;
  yields_ = false;
  if (was_told_to) {
    phase_ = Phase::stopped;
    if (std::exchange(returns_, false)) return start(now);
    return actions;
  }
  if (unfit_) {
    failed_ = true;
    begin_life_after(now, options_.restart_delay_max, actions);
    return actions;
  }
  const bool was_ready = phase_ == Phase::ready;
  if (was_ready && now - ready_since_ >= options_.restart_forgiven_after) crashes_ = 0;
  ++crashes_;
  if (!was_ready) ++failed_loads_;

  trouble_ = "The engine ";
  trouble_ += killed_ ? std::string_view(killed_why_) : how;
  if (!was_ready && !killed_) trouble_ += " while loading " + options_.model_file_name;
  if (!last_words.empty()) trouble_.append("; its last words: ").append(last_words);
  if (!trouble_.ends_with('.')) trouble_ += ".";

  if (failed_loads_ >= options_.crashes_until_failed) failed_ = true;
  ++restarts_;
  begin_life_after(now, restart_delay(), actions);
  if (failed_) refuse_all(now, actions);
  return actions;
}

Actions Scheduler::ask(SteadyTime now, Waiter waiter) {
  Actions actions;
  if (closed_ || failed_) {
    actions.push_back(Refuse{.waiter = waiter.id, .error = unavailable(now)});
    return actions;
  }
  if (waiter.deadline <= now) {
    actions.push_back(Refuse{.waiter = waiter.id, .error = too_late()});
    return actions;
  }
  if (auto refused = refuse_to_wait(now, waiter)) {
    actions.push_back(Refuse{.waiter = waiter.id, .error = std::move(*refused)});
    return actions;
  }
  queue_of(waiter).push(waiter, now);
  hand_out_slots(now, actions);
  // Batch before interactive: work that can wait must not shut out people who wait.
  if (interactive_.size() + batch_.size() > options_.queue_max) {
    refuse_one_too_many(now, batch_.empty() ? interactive_ : batch_, waiter.caller, actions);
  }
  if (retries_.size() > kRetriesMax) refuse_one_too_many(now, retries_, waiter.caller, actions);
  return actions;
}

void Scheduler::withdraw(WaiterId waiter) {
  for (auto* queue : {&retries_, &interactive_, &batch_}) queue->withdraw(waiter);
}

Actions Scheduler::release(SteadyTime now, std::uint64_t generation, bool is_retry) {
  Actions actions;
  if (generation != generation_ || busy_ + lent_ == 0) return actions;
  // One that was lent, when its gate was shut and has not been closed yet: take_back() goes by the sum.
  --(busy_ > 0 ? busy_ : lent_);
  if (is_retry) retry_runs_ = false;
  hand_out_slots(now, actions);
  leave_when_idle(now, actions);
  return actions;
}

void Scheduler::request_succeeded(std::uint64_t generation, double slot_ms) {
  admission_.measured(slot_ms);
  if (generation != generation_) return;
  failed_requests_ = 0;
  // A worker that answers is no crash loop: should it die, it is back at once for the next request.
  crashes_ = 0;
}

Actions Scheduler::request_failed(SteadyTime now, std::uint64_t generation) {
  Actions actions;
  if (generation != generation_ || phase_ != Phase::ready) return actions;
  suspect_until_ = now + kSuspicion;
  if (++failed_requests_ >= options_.failures_until_restart) {
    kill_once(now, actions, "failed " + std::to_string(failed_requests_) + " requests in a row and was ended");
  }
  return actions;
}

void Scheduler::request_failed_again(SteadyTime now, std::uint64_t generation) {
  if (generation == generation_ && phase_ == Phase::ready) suspect_until_ = now + kSuspicion;
}

int Scheduler::lend(SteadyTime now) {
  const bool is_well = phase_ == Phase::ready && !killed_ && !yields_ && !suspect_until_ && checks_missed_ == 0;
  const int free = options_.slots - busy_ - lent_;
  if (!is_well || queued() > 0 || free <= 0) return 0;
  lent_ += free;
  if (!checking_ && !check_at_) check_at_ = now + options_.check_interval;
  return free;
}

// A slot that was busy may have come back into those that are lent, so there may be more left than were lent: the sum
// is what counts.
Actions Scheduler::take_back(SteadyTime now, int left) {
  Actions actions;
  if (lent_ == 0) return actions;
  busy_ += std::exchange(lent_, 0) - left;
  hand_out_slots(now, actions);
  leave_when_idle(now, actions);
  return actions;
}

Actions Scheduler::engine_answered(SteadyTime now, std::uint64_t generation) {
  Actions actions;
  if (generation != generation_ || !checking_) return actions;
  checking_ = false;
  checks_missed_ = 0;
  if (busy_ + lent_ > 0) check_at_ = now + options_.check_interval;
  hand_out_slots(now, actions);
  return actions;
}

Actions Scheduler::engine_missed_check(SteadyTime now, std::uint64_t generation) {
  Actions actions;
  if (generation != generation_ || !checking_) return actions;
  checking_ = false;
  if (phase_ != Phase::ready) return actions;
  if (++checks_missed_ >= options_.checks_missed_max) {
    kill_once(now, actions, "did not answer " + std::to_string(checks_missed_) + " checks in a row and was ended");
  } else {
    check_at_ = std::max(now, checked_at_ + options_.check_interval);
  }
  return actions;
}

Actions Scheduler::time_passed(SteadyTime now, int lent_free) {
  Actions actions;
  for (auto* queue : {&retries_, &interactive_, &batch_}) expire(*queue, now, actions);
  if (phase_ == Phase::delayed && now >= start_at_) begin_life(actions);
  if (phase_ == Phase::loading && now >= last_progress_ + options_.load_timeout) {
    kill_once(now, actions,
              "did not get on with loading " + options_.model_file_name + " for " + in_seconds(options_.load_timeout) +
                  " and was ended");
  }
  if (waits_for_its_end() && now >= killed_at_ + options_.stop_timeout) give_up_for_now(now, actions);
  if (phase_ == Phase::draining) {
    if (now >= stop_asked_ + options_.stop_timeout) kill_once(now, actions, "did not exit when it was told to");
    if (now >= stop_asked_ + 2 * options_.stop_timeout) {
      // Unless all is to end, one that is stuck keeps its memory, and no other is started beside it.
      if (!closed_) {
        phase_ = Phase::ready;
        yields_ = returns_ = false;
        give_up_for_now(now, actions);
        return actions;
      }
      phase_ = Phase::stopped;
      actions.push_back(AbandonProcess{});
    }
  }
  if (check_at_ && now >= *check_at_) check_engine(now, lent_free, actions);
  if (suspect_until_ && now >= *suspect_until_) {
    suspect_until_.reset();
    hand_out_slots(now, actions);
  }
  return actions;
}

std::optional<SteadyTime> Scheduler::next_event() const {
  SteadyTime next = SteadyTime::max();
  for (const auto* queue : {&retries_, &interactive_, &batch_}) next = std::min(next, queue->next_deadline());
  if (phase_ == Phase::delayed) next = std::min(next, start_at_);
  if (phase_ == Phase::loading && !killed_) next = std::min(next, last_progress_ + options_.load_timeout);
  if (waits_for_its_end()) next = std::min(next, killed_at_ + options_.stop_timeout);
  if (phase_ == Phase::draining) next = std::min(next, stop_asked_ + (killed_ ? 2 : 1) * options_.stop_timeout);
  if (check_at_) next = std::min(next, *check_at_);
  if (suspect_until_) next = std::min(next, *suspect_until_);
  if (next == SteadyTime::max()) return std::nullopt;
  return next;
}

llm::BackendState Scheduler::state() const {
  if (retires_ && phase_ == Phase::stopped) return llm::BackendState::stopped;
  if (failed_) return llm::BackendState::failed;
  switch (phase_) {
    case Phase::stopped:
      if (closed_) return llm::BackendState::stopped;
      return queued() > 0 ? llm::BackendState::loading : llm::BackendState::sleeping;
    case Phase::delayed:
    case Phase::starting:
    case Phase::loading:
      return llm::BackendState::loading;
    case Phase::ready:
      return killed_ ? llm::BackendState::loading : llm::BackendState::ready;
    case Phase::draining:
      return llm::BackendState::draining;
  }
  return llm::BackendState::stopped;
}

bool Scheduler::wants_start() const { return phase_ == Phase::stopped && !closed_ && queued() > 0; }

std::optional<SteadyTime> Scheduler::waiting_since() const {
  std::optional<SteadyTime> since;
  for (const auto* queue : {&retries_, &interactive_, &batch_}) {
    const auto first = queue->waiting_since();
    if (first) since = std::min(since.value_or(*first), *first);
  }
  return since;
}

int Scheduler::slots_free() const {
  return phase_ == Phase::ready && !killed_ && !yields_ ? options_.slots - busy_ - lent_ : 0;
}

std::string Scheduler::detail() const {
  if (!trouble_.empty()) return trouble_;
  if (checks_missed_ == 1) return "The engine has not answered the last check.";
  if (checks_missed_ > 1) return "The engine has not answered the last " + std::to_string(checks_missed_) + " checks.";
  if (wants_start()) return options_.model + " waits until there is memory for it.";
  if (yields_) return options_.model + " ends what it is doing and then leaves memory.";
  if (phase_ == Phase::loading && progress_) {
    return options_.model_file_name + " is loading: " + std::to_string(static_cast<int>(*progress_ * 100)) + " %.";
  }
  return {};
}

void Scheduler::begin_life(Actions& actions) {
  phase_ = Phase::starting;
  ++generation_;
  forget_life();
  unfit_ = killed_ = yields_ = returns_ = false;
  killed_why_.clear();
  progress_.reset();
  actions.push_back(StartProcess{});
}

void Scheduler::forget_life() {
  busy_ = lent_ = 0;
  retry_runs_ = false;
  suspect_until_.reset();
  check_at_.reset();
  checking_ = false;
  checks_missed_ = 0;
}

void Scheduler::begin_life_after(SteadyTime now, std::chrono::milliseconds delay, Actions& actions) {
  if (delay.count() == 0) return begin_life(actions);
  phase_ = Phase::delayed;
  start_at_ = now + delay;
}

// Only while it has something to do: an idle engine that hangs harms nobody until then. But once it missed a check the
// next ones follow even if its clients have left, or impatient clients would hide that it hangs.
void Scheduler::check_engine(SteadyTime now, int lent_free, Actions& actions) {
  check_at_.reset();
  if (phase_ != Phase::ready || killed_) return;
  const bool is_idle = busy_ + lent_ - lent_free <= 0 && checks_missed_ == 0;
  if (is_idle) {
    // Nobody tells when one of the lent slots is taken, so it is looked for again.
    if (lent_ > 0) check_at_ = now + options_.check_interval;
    return;
  }
  checking_ = true;
  checked_at_ = now;
  actions.push_back(CheckEngine{});
}

// What it would find before it, against how long it may wait.
std::optional<Error> Scheduler::refuse_to_wait(SteadyTime now, const Waiter& waiter) {
  if (waiter.is_retry) return std::nullopt;
  const FairQueue& queue = queue_of(waiter);
  const int others_first = retries_.size() + (&queue == &batch_ ? interactive_.size() : 0);
  const auto wait = admission_.wait_behind(busy_ + others_first + queue.turns_before_next(waiter.caller, now));
  const auto allowed = admission_.wait_allowed(waiter, now);
  if (wait <= allowed) return std::nullopt;
  Error error{.kind = Kind::busy,
              .code = "wait_too_long",
              .message = "A slot of the model " + options_.model + " would be free for this request in about " +
                         std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()) +
                         " s, which is too late for it; try again when Retry-After says."};
  error.retry_after_seconds =
      admission_.retry_after_seconds(waiter.caller, wait - allowed, 1 + queue.others_lately(waiter.caller, now), now);
  return error;
}

FairQueue& Scheduler::queue_of(const Waiter& waiter) {
  if (waiter.is_retry) return retries_;
  return waiter.priority == llm::Priority::interactive ? interactive_ : batch_;
}

// Whose front is served next; null when nobody may be.
FairQueue* Scheduler::next_queue() {
  if (!retries_.empty() && !retry_runs_) return &retries_;
  if (!interactive_.empty()) return &interactive_;
  return batch_.empty() ? nullptr : &batch_;
}

// None to an engine that is dying or hangs, by what is known.
void Scheduler::hand_out_slots(SteadyTime now, Actions& actions) {
  if (phase_ != Phase::ready || suspect_until_ || killed_ || yields_ || checks_missed_ > 0) return;
  while (busy_ + lent_ < options_.slots) {
    FairQueue* queue = next_queue();
    if (queue == nullptr) return;
    const Waiter waiter = queue->pop();
    if (waiter.deadline <= now) {
      actions.push_back(Refuse{.waiter = waiter.id, .error = too_late()});
      continue;
    }
    ++busy_;
    retry_runs_ |= waiter.is_retry;
    if (!checking_ && !check_at_) check_at_ = now + options_.check_interval;
    actions.push_back(Grant{.waiter = waiter.id, .is_retry = waiter.is_retry});
  }
}

void Scheduler::refuse_one_too_many(SteadyTime now, FairQueue& queue, llm::CallerId newcomer, Actions& actions) {
  const Waiter refused = queue.pop_one_too_many(newcomer);
  actions.push_back(Refuse{.waiter = refused.id, .error = queue_full(now, queue, refused.caller)});
}

void Scheduler::expire(FairQueue& queue, SteadyTime now, Actions& actions) {
  for (const WaiterId late : queue.pop_late(now)) actions.push_back(Refuse{.waiter = late, .error = too_late()});
}

void Scheduler::refuse_all(SteadyTime now, Actions& actions) {
  for (auto* queue : {&retries_, &interactive_, &batch_}) {
    for (const Waiter& waiter : queue->pop_all()) {
      actions.push_back(Refuse{.waiter = waiter.id, .error = unavailable(now)});
    }
  }
}

void Scheduler::kill_once(SteadyTime now, Actions& actions, std::string why) {
  if (killed_) return;
  killed_ = true;
  killed_at_ = now;
  killed_why_ = std::move(why);
  actions.push_back(KillProcess{});
}

// Killed, and not seen dead yet, in a life that another is to follow.
bool Scheduler::waits_for_its_end() const {
  return killed_ && !stuck_ && (phase_ == Phase::loading || phase_ == Phase::ready);
}

// A process that is stuck in a driver keeps the memory of its device, so no other is started beside it. Should it end
// after all, process_ended() starts the next life.
void Scheduler::give_up_for_now(SteadyTime now, Actions& actions) {
  stuck_ = failed_ = true;
  trouble_ = "The engine " + killed_why_ + "; its process has not ended " + in_seconds(options_.stop_timeout) +
             " later, so it is stuck, perhaps in a driver. It is started again when it is gone; a restart of the "
             "machine may be needed.";
  refuse_all(now, actions);
}

// At once, then doubling from the least to the longest delay.
std::chrono::milliseconds Scheduler::restart_delay() const {
  if (crashes_ <= 1) return std::chrono::milliseconds{0};
  auto delay = options_.restart_delay_min;
  for (int crash = 2; crash < crashes_ && delay < options_.restart_delay_max; ++crash) delay *= 2;
  return std::min(delay, options_.restart_delay_max);
}

Error Scheduler::unavailable(SteadyTime now) const {
  Error error{.kind = Kind::unavailable, .code = "model_unavailable", .message = {}};
  if (closed_) {
    error.message = "The gateway is shutting down; try again in a moment.";
    error.retry_after_seconds = 1;
    return error;
  }
  error.message = unfit_   ? trouble_
                  : stuck_ ? "The model " + options_.model +
                                 " hangs and its process does not end; GET /health says more. Try another model."
                           : "The model " + options_.model + " cannot be started at present; GET /health says why.";
  error.detail = trouble_;
  const auto wait = phase_ == Phase::delayed ? milliseconds_between(now, start_at_) : 0;
  error.retry_after_seconds = stuck_ ? kRetryAfterSecondsMax : retry_after_seconds(std::chrono::milliseconds{wait});
  return error;
}

// A place is free as soon as somebody who waits has a slot.
Error Scheduler::queue_full(SteadyTime now, const FairQueue& queue, llm::CallerId caller) {
  Error error{.kind = Kind::busy,
              .code = "queue_full",
              .message = "Too many requests wait for the model " + options_.model + "; try again in a moment."};
  error.retry_after_seconds = admission_.retry_after_seconds(caller, admission_.wait_behind(options_.slots),
                                                             1 + queue.others_lately(caller, now), now);
  return error;
}

Error Scheduler::too_late() const {
  const bool is_up = phase_ == Phase::ready;
  return Error{.kind = Kind::timed_out,
               .code = is_up ? "queue_timed_out" : "load_timed_out",
               .message = is_up ? "No slot of the model " + options_.model + " became free in time; try again later."
                                : "The model " + options_.model + " did not become ready in time; try again later.",
               .detail = trouble_};
}

}  // namespace gbgreg::fleet

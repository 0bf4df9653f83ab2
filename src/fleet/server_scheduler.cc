#include "fleet/server_scheduler.h"

#include <algorithm>
#include <utility>

namespace gbgreg::fleet {
namespace {

int whole_seconds(SteadyTime now, SteadyTime until) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(until - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(seconds, 1, ServerScheduler::kRetryAfterSecondsMax));
}

Error too_late(const std::string& server) {
  return {.kind = Kind::timed_out,
          .code = "queue_timed_out",
          .message = "No slot of the server " + server + " became free in time; try again later."};
}

std::string_view breaker_name(Breaker::State state) {
  switch (state) {
    case Breaker::State::closed:
      return "closed";
    case Breaker::State::open:
      return "open";
    case Breaker::State::half_open:
      return "half_open";
  }
  return "open";
}

}  // namespace

ServerScheduler::ServerScheduler(ServerSchedulerOptions options, SteadyTime now)
    : options_(std::move(options)),
      breaker_(now),
      admission_({.slots = options_.slots, .objective = options_.objective, .wait_max = options_.queue_wait_max}) {}

Actions ServerScheduler::check_passed(SteadyTime now) {
  Actions actions;
  checking_ = false;
  breaker_.check_passed(now);
  if (breaker_.state() == Breaker::State::closed) trouble_.clear();
  hand_out_slots(now, actions);
  return actions;
}

Actions ServerScheduler::check_failed(SteadyTime now, const Error& why) {
  Actions actions;
  checking_ = false;
  if (why.kind == Kind::busy) {
    // Whoever says so is there.
    breaker_.check_passed(now);
    put_off(now, why);
    refuse_all(now, actions);
    return actions;
  }
  const Breaker::State before = breaker_.state();
  breaker_.check_failed(now);
  const bool is_certain = why.kind == Kind::unavailable || why.code == "backend_key_refused";
  if (is_certain) breaker_.cannot_be_used(now);
  note_opened(before);
  note(now, why);
  if (breaker_.state() == Breaker::State::open) refuse_all(now, actions);
  return actions;
}

Actions ServerScheduler::stop(SteadyTime now) {
  Actions actions;
  closed_ = true;
  refuse_all(now, actions);
  return actions;
}

Actions ServerScheduler::adopt(SteadyTime now, ServerSchedulerOptions options) {
  options_ = std::move(options);
  admission_.adopt({.slots = options_.slots, .objective = options_.objective, .wait_max = options_.queue_wait_max});
  Actions actions;
  hand_out_slots(now, actions);
  return actions;
}

void ServerScheduler::forget_how_it_was(SteadyTime now) {
  breaker_ = Breaker(now);
  ++generation_;
  busy_before_ += std::exchange(busy_, 0);
  checking_ = key_refused_ = false;
  put_off_until_.reset();
  trouble_.clear();
}

Actions ServerScheduler::ask(SteadyTime now, const Waiter& waiter) {
  Actions actions;
  const auto refuse = [&](Error error) {
    actions.push_back(Refuse{.waiter = waiter.id, .error = std::move(error)});
    return std::move(actions);
  };
  // Before the first check nobody knows; it takes no longer than its timeout.
  const bool is_open = breaker_.state() == Breaker::State::open && breaker_.has_been_asked();
  if (closed_ || is_open || is_put_off()) return refuse(refusal(now));
  if (waiter.deadline <= now) return refuse(too_late(options_.server));
  FairQueue& queue = queue_of(waiter);
  const int others_first = &queue == &batch_ ? interactive_.size() : 0;
  const auto wait =
      admission_.wait_behind(busy_ + busy_before_ + others_first + queue.turns_before_next(waiter.caller, now));
  const auto allowed = admission_.wait_allowed(waiter, now);
  if (wait > allowed && !waiter.is_retry) {
    Error error{.kind = Kind::busy,
                .code = "wait_too_long",
                .message = "The server " + options_.server +
                           " would answer this request too late; try again when Retry-After says."};
    error.retry_after_seconds =
        admission_.retry_after_seconds(waiter.caller, wait - allowed, 1 + queue.others_lately(waiter.caller, now), now);
    return refuse(std::move(error));
  }
  queue.push(waiter, now);
  hand_out_slots(now, actions);
  if (queued() > options_.queue_max) {
    FairQueue& full = batch_.empty() ? interactive_ : batch_;
    const Waiter refused = full.pop_one_too_many(waiter.caller);
    Error error{.kind = Kind::busy,
                .code = "queue_full",
                .message = "Too many requests wait for the server " + options_.server + "; try again in a moment."};
    error.retry_after_seconds = admission_.retry_after_seconds(refused.caller, admission_.wait_behind(options_.slots),
                                                               1 + full.others_lately(refused.caller, now), now);
    actions.push_back(Refuse{.waiter = refused.id, .error = std::move(error)});
  }
  return actions;
}

void ServerScheduler::withdraw(WaiterId waiter) {
  interactive_.withdraw(waiter);
  batch_.withdraw(waiter);
}

Actions ServerScheduler::release(SteadyTime now, std::uint64_t generation) {
  Actions actions;
  int& busy = generation == generation_ ? busy_ : busy_before_;
  if (busy > 0) --busy;
  hand_out_slots(now, actions);
  return actions;
}

void ServerScheduler::request_succeeded(std::uint64_t generation, double slot_ms) {
  admission_.measured(slot_ms);
  if (generation != generation_) return;
  breaker_.request_succeeded();
  if (breaker_.state() == Breaker::State::closed && !is_put_off()) trouble_.clear();
}

void ServerScheduler::put_off(SteadyTime now, const Error& why) {
  const int seconds = std::clamp(why.retry_after_seconds.value_or(1), 1, kRetryAfterSecondsMax);
  put_off_until_ = now + std::chrono::seconds(seconds);
  trouble_ = last_error_ = why.message;
  last_error_at_ = now;
}

// What is out when it opens is of the past.
void ServerScheduler::note_opened(Breaker::State before) {
  if (before == Breaker::State::open || breaker_.state() != Breaker::State::open) return;
  ++generation_;
  busy_before_ += std::exchange(busy_, 0);
}

Actions ServerScheduler::request_failed(SteadyTime now, std::uint64_t generation, const Error& why) {
  Actions actions;
  if (generation != generation_ || why.code == "backend_has_no_model") return actions;
  const Breaker::State before = breaker_.state();
  if (why.kind == Kind::busy) {
    put_off(now, why);
  } else {
    note(now, why);
    if (why.kind == Kind::unavailable || key_refused_) {
      breaker_.cannot_be_used(now);
    } else {
      breaker_.request_failed(now);
    }
    note_opened(before);
  }
  // Whoever waits may have an answer from another server.
  if (breaker_.state() == Breaker::State::open || is_put_off()) refuse_all(now, actions);
  return actions;
}

int ServerScheduler::lend(SteadyTime) {
  if (closed_ || breaker_.state() != Breaker::State::closed || is_put_off() || queued() > 0) return 0;
  const int free = std::max(0, slots() - busy_ - lent_);
  lent_ += free;
  return free;
}

Actions ServerScheduler::take_back(SteadyTime now, int left) {
  Actions actions;
  if (lent_ == 0) return actions;
  busy_ += std::exchange(lent_, 0) - left;
  hand_out_slots(now, actions);
  return actions;
}

Actions ServerScheduler::time_passed(SteadyTime now) {
  Actions actions;
  for (auto* queue : {&interactive_, &batch_}) {
    for (const WaiterId late : queue->pop_late(now)) {
      actions.push_back(Refuse{.waiter = late, .error = too_late(options_.server)});
    }
  }
  if (put_off_until_ && now >= *put_off_until_) {
    put_off_until_.reset();
    if (breaker_.state() == Breaker::State::closed) trouble_.clear();
    hand_out_slots(now, actions);
  }
  if (!closed_ && !checking_ && now >= breaker_.check_at()) {
    checking_ = true;
    actions.push_back(CheckEngine{});
  }
  return actions;
}

std::optional<SteadyTime> ServerScheduler::next_event() const {
  if (closed_) return std::nullopt;
  SteadyTime next = std::min(interactive_.next_deadline(), batch_.next_deadline());
  if (put_off_until_) next = std::min(next, *put_off_until_);
  if (!checking_) next = std::min(next, breaker_.check_at());
  if (next == SteadyTime::max()) return std::nullopt;
  return next;
}

llm::BackendState ServerScheduler::state() const {
  if (closed_) return llm::BackendState::stopped;
  if (breaker_.state() != Breaker::State::open) {
    if (is_half_open() && busy_ > 0 && !is_put_off()) return llm::BackendState::loading;
    return is_put_off() ? llm::BackendState::unreachable : llm::BackendState::ready;
  }
  return breaker_.has_been_asked() ? llm::BackendState::unreachable : llm::BackendState::loading;
}

std::string ServerScheduler::detail() const {
  if (!trouble_.empty()) return "The server " + options_.server + ": " + trouble_;
  return {};
}

void ServerScheduler::note(SteadyTime now, const Error& why) {
  trouble_ = last_error_ = why.message;
  last_error_at_ = now;
  key_refused_ = why.code == "backend_key_refused";
}

llm::ServerState ServerScheduler::server(SteadyTime now) const {
  llm::ServerState shown{.breaker = breaker_name(breaker_.state()), .failures = breaker_.failures()};
  if (!last_error_.empty()) {
    shown.last_error = last_error_;
    shown.last_error_ago_ms = milliseconds_between(last_error_at_, now);
  }
  if (!closed_ && !checking_) {
    shown.check_in_ms = std::max<std::int64_t>(0, milliseconds_between(now, breaker_.check_at()));
  }
  return shown;
}

FairQueue& ServerScheduler::queue_of(const Waiter& waiter) {
  return waiter.priority == llm::Priority::interactive ? interactive_ : batch_;
}

void ServerScheduler::hand_out_slots(SteadyTime now, Actions& actions) {
  if (closed_ || breaker_.state() == Breaker::State::open || is_put_off()) return;
  while (busy_ + lent_ < slots() && queued() > 0) {
    const Waiter waiter = (interactive_.empty() ? batch_ : interactive_).pop();
    if (waiter.deadline <= now) {
      actions.push_back(Refuse{.waiter = waiter.id, .error = too_late(options_.server)});
      continue;
    }
    ++busy_;
    actions.push_back(Grant{.waiter = waiter.id, .is_retry = waiter.is_retry});
  }
}

void ServerScheduler::refuse_all(SteadyTime now, Actions& actions) {
  for (auto* queue : {&interactive_, &batch_}) {
    for (const Waiter& waiter : queue->pop_all()) {
      actions.push_back(Refuse{.waiter = waiter.id, .error = refusal(now)});
    }
  }
}

Error ServerScheduler::refusal(SteadyTime now) const {
  Error error{.kind = Kind::unavailable, .code = "backend_unreachable", .message = {}, .detail = trouble_};
  if (closed_) {
    error.message = "The gateway is shutting down; try again in a moment.";
    error.retry_after_seconds = 1;
  } else if (is_put_off()) {
    error.kind = Kind::busy;
    error.code = "backend_busy";
    error.message = "The model's server has too much to do; try again when Retry-After says.";
    error.retry_after_seconds = whole_seconds(now, *put_off_until_);
  } else if (key_refused_) {
    error = {.kind = Kind::backend_failed, .code = "backend_key_refused", .message = trouble_};
  } else {
    error.message = "The model's server cannot be used at present; GET /health says why.";
    error.retry_after_seconds = whole_seconds(now, breaker_.check_at());
  }
  return error;
}

}  // namespace gbgreg::fleet

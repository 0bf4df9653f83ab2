// What Keys does where other gateways use the same database.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>

#include "services/keys.h"

namespace gbgreg::services {

using storage::KeyShares;
using Sharing = KeyShares::Sharing;

struct Keys::Told {
  std::string id;
  std::shared_ptr<keys::Account> account;
  keys::Usage usage;
  std::optional<keys::Account::Question> question;  // Of those with limits, while they are shared.
  KeyShares::Told row;
};

// The rows of what earlier gateways shared are only there as long as nobody counts by himself.
Result<void> Keys::enter() {
  if (shares_ == nullptr) return {};
  const auto entered = shares_->enter(*gateway_);
  if (!entered) return std::unexpected(entered.error());
  met_at_ = clock_.steady();
  gateways_ = 1 + entered->others;
  has_told_ = true;
  if (entered->others > 0) begin_sharing();
  const keys::Moment now = keys::now_by(clock_);
  const std::scoped_lock lock(mutex_);
  for (const KeyShares::Left& left : entered->left) {
    const auto held = held_.find(left.key_id);
    if (held == held_.end()) continue;
    keys::Usage usage = held->second.account->usage(now);
    usage.requests_full_at = std::max(usage.requests_full_at, now.wall + left.requests_until_full);
    usage.tokens_full_at = std::max(usage.tokens_full_at, now.wall + left.tokens_until_full);
    held->second.account->restore(usage, now);
  }
  return {};
}

void Keys::begin_sharing() {
  const keys::Moment now = keys::now_by(clock_);
  const std::scoped_lock lock(mutex_);
  is_sharing_ = true;
  for (const auto& [id, held] : held_) held.account->begin_sharing(now);
}

// One more time where others wait for what was kept, or where it is another story now who shares.
Result<void> Keys::meet() {
  const bool was_sharing = is_sharing_;
  const auto others = meet_once(was_sharing ? Sharing::yes : Sharing::no);
  if (!others) return std::unexpected(others.error());
  if (!was_sharing && *others > 0) {
    spdlog::info("{} other gateways use this database: the limits of keys are shared with them", *others);
    has_told_ = false;
    begin_sharing();
  }
  const bool has_ended = was_sharing && *others == 0;
  const bool is_again = has_ended || !wanted_.empty() || (!was_sharing && *others > 0);
  if (!is_again) return {};
  const auto again = meet_once(has_ended ? Sharing::ended : Sharing::yes);
  if (!again) return std::unexpected(again.error());
  return {};
}

Result<int> Keys::meet_once(Sharing sharing) {
  const SteadyTime began = clock_.steady();
  const std::vector<Told> told = tell(sharing);
  std::vector<KeyShares::Told> rows;
  rows.reserve(told.size());
  for (const Told& one : told) rows.push_back(one.row);
  auto met = shares_->meet(*gateway_, sharing, rows);
  if (!met) {
    for (const Told& one : told) {
      if (one.question) one.account->forget(*one.question);
    }
    if (met.error().code == "gateway_twice") {
      spdlog::error("{} This one takes another id.", met.error().message);
      gateway_->id = new_uuid(clock_.wall());
    }
    if (is_sharing_) cut_off();
    return std::unexpected(std::move(met.error()));
  }
  const bool has_ended = sharing == Sharing::ended && met->others == 0;
  take_answers(told, met->leased, has_ended);
  met_at_ = began;
  gateways_ = 1 + met->others;
  has_told_ = true;
  is_cut_off_ = has_lapsed_ = false;
  if (has_ended) spdlog::info("no other gateway uses this database any more");
  return met->others;
}

std::vector<Keys::Told> Keys::tell(Sharing sharing) {
  const keys::Moment now = keys::now_by(clock_);
  std::vector<Told> told;
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, held] : held_) {
    Told one{.id = id, .account = held.account, .usage = {}, .question = {}, .row = {.limits = held.limits}};
    bool is_asked = false;
    if (sharing != Sharing::no && !held.limits.is_unbounded()) {
      using Keep = keys::Account::Keep;
      const bool is_given_up = sharing == Sharing::ended || wanted_.contains(id);
      one.question = held.account->ask(is_given_up ? Keep::nothing : Keep::what_is_used, now);
      one.usage = one.question->usage;
      const bool has_taken = one.usage.requests_full_at > now.wall || one.usage.tokens_full_at > now.wall;
      is_asked = one.question->is_worth_asking || sharing == Sharing::ended || (!has_told_ && has_taken);
    } else {
      one.usage = held.account->usage(now);
    }
    const keys::Usage &usage = one.usage, &before = held.written;
    const bool is_same_day = usage.day == before.day;
    one.row.has_used = usage.used_at != before.used_at || usage.tokens != (is_same_day ? before.tokens : 0) ||
                       usage.requests != (is_same_day ? before.requests : 0);
    if (!one.row.has_used && !is_asked) continue;
    one.row.used.usage = usage_row(id, usage);
    if (is_same_day) {
      one.row.used.usage.requests -= before.requests;
      one.row.used.usage.tokens -= before.tokens;
    }
    if (usage.used_at != before.used_at) one.row.used.used_at = rfc3339(usage.used_at);
    if (is_asked) {
      const auto until = [&](WallTime full_at) {
        return std::max(keys::Bucket::Micros{0}, std::chrono::ceil<keys::Bucket::Micros>(full_at - now.wall));
      };
      one.row.asking = one.question->asking;
      if (!has_told_) one.row.requests_until_full = until(usage.requests_full_at);
      if (!has_told_) one.row.tokens_until_full = until(usage.tokens_full_at);
    } else {
      one.question.reset();
    }
    told.push_back(std::move(one));
  }
  return told;
}

void Keys::take_answers(const std::vector<Told>& told, const std::vector<keys::Leased>& leased, bool has_ended) {
  const keys::Moment now = keys::now_by(clock_);
  wanted_.clear();
  const std::scoped_lock lock(mutex_);
  auto answer = leased.begin();
  for (const Told& one : told) {
    keys::Usage written = one.usage;
    if (one.question) {
      if (has_ended) {
        one.account->end_sharing(*answer, one.usage, now);
      } else {
        one.account->take(*answer, *one.question, now);
      }
      written.requests = answer->requests_today;
      written.tokens = answer->tokens_today;
      // What somebody here has just waited for is used first, and what is left of it comes back with the next round.
      const keys::Asking& asking = one.question->asking;
      const bool is_needed_here = asking.requests_needed > 0 || asking.tokens_needed > 0;
      if (answer->is_wanted && !is_needed_here && answer->lease != keys::Amounts{}) wanted_.insert(one.id);
      ++answer;
    }
    if (const auto held = held_.find(one.id); held != held_.end()) held->second.written = written;
  }
  if (!has_ended) return;
  is_sharing_ = false;
  // Made while the others left.
  for (const auto& [id, held] : held_) held.account->end_sharing({}, {}, now);
}

void Keys::cut_off() {
  const keys::Moment now = keys::now_by(clock_);
  const bool has_lapsed = now.steady - met_at_.load() > kHeldFor;
  if (is_cut_off_.exchange(true) && (!has_lapsed || has_lapsed_.exchange(true))) return;
  if (has_lapsed) has_lapsed_ = true;
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, held] : held_) held.account->cut_off(gateways_, has_lapsed, now);
}

Task<std::optional<keys::Refused>> Keys::with_more(keys::Refused refused, Attempt attempt) {
  const auto until = std::chrono::steady_clock::now() + kMoreWaitMax;
  for (int attempts = 0; refused.may_be_got && std::chrono::steady_clock::now() < until; ++attempts) {
    if (attempts > 0) {
      Timer pause(co_await asio::this_coro::executor, kMorePause);
      co_await pause.async_wait(use_task);
    }
    co_await wait_for_more();
    const auto again = attempt();
    if (!again) co_return std::nullopt;
    refused = *again;
  }
  co_return refused;
}

Task<void> Keys::wait_for_more() {
  // Shared with the job that wakes whoever waits; it goes on this thread, wherever its last owner is.
  auto timer = std::make_shared<Timer>(co_await asio::this_coro::executor, kMoreWaitMax);
  {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= kWaitingMax) co_return;
    waiting_.push_back(timer);
  }
  meet_soon();
  const auto [error] = co_await timer->async_wait(use_tuple);
  if (!error) cut_off();  // Nobody has woken it.
}

void Keys::meet_soon() {
  if (is_meeting_.exchange(true)) return;
  try {
    asio::post(pool_, [this] { meet_and_wake(); });
  } catch (...) {
    is_meeting_ = false;
    throw;
  }
}

// On the storage pool, from which nothing may escape. Those who came too late for this one are served by the next.
void Keys::meet_and_wake() {
  std::vector<std::shared_ptr<Timer>> woken;
  try {
    const std::scoped_lock work(work_mutex_);
    {
      const std::scoped_lock lock(mutex_);
      woken.swap(waiting_);
    }
    if (auto met = meet(); !met) spdlog::debug("no more was got of the limits: {}", met.error().message);
  } catch (const std::exception& error) {
    spdlog::error("sharing the limits of keys failed: {}", error.what());
  }
  bool has_more = false;
  try {
    for (auto& timer : woken) {
      const auto executor = timer->get_executor();
      asio::post(executor, [timer = std::move(timer)] { timer->cancel(); });
    }
  } catch (const std::exception& error) {
    spdlog::error("those who wait for more of their limits wait to the end: {}", error.what());
  }
  is_meeting_ = false;
  {
    const std::scoped_lock lock(mutex_);
    has_more = !waiting_.empty();
  }
  try {
    if (has_more) meet_soon();
  } catch (const std::exception& error) {
    spdlog::error("sharing the limits of keys failed: {}", error.what());
  }
}

Result<void> Keys::leave() {
  if (auto looked = look(); !looked || shares_ == nullptr) return looked;
  const std::scoped_lock work(work_mutex_);
  if (is_sharing_) {
    if (const auto met = meet_once(Sharing::ended); !met) return std::unexpected(met.error());
  }
  return shares_->leave(*gateway_);
}

}  // namespace gbgreg::services

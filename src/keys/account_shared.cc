#include <algorithm>
#include <utility>

#include "keys/account.h"

namespace gbgreg::keys {
namespace {

using Micros = Bucket::Micros;

// A part of a bucket that is as full, and is filled at the same pace as its part.
std::optional<Bucket> ration_of(std::optional<Bucket>& all, int gateways, SteadyTime now) {
  if (!all) return std::nullopt;
  Bucket part((all->per_minute() + gateways - 1) / gateways, now);
  part.restore(all->until_full(now), now);
  return part;
}

// What is refused comes again in a moment even where the picture of what is left is an old one.
Micros at_least_a_moment(Micros wait) { return std::max(wait, Account::kRefusalKept); }

}  // namespace

void Account::begin_sharing(Moment now) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  if (part_) return;
  part_.emplace();
  if (limits_.tokens_per_day) part_->left_today = std::max<std::int64_t>(0, *limits_.tokens_per_day - tokens_today_);
}

void Account::end_sharing(const Leased& left, const Usage& told, Moment now) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  if (!part_) return;
  if (requests_) requests_->restore(left.requests_until_full, now.steady);
  if (tokens_) tokens_->restore(left.tokens_until_full, now.steady);
  // What came while the database was asked.
  if (tokens_) tokens_->give_back(part_->surplus.tokens + part_->held.tokens, now.steady);
  if (tokens_) tokens_->take(part_->owed.tokens, now.steady);
  if (requests_) requests_->take(part_->owed.requests, now.steady);
  if (told.day == day_) {
    requests_today_ += left.requests_today - told.requests;
    tokens_today_ += left.tokens_today - told.tokens;
  }
  part_.reset();
  ration_.reset();
}

Account::Question Account::ask(Keep keep, Moment now) {
  const std::scoped_lock lock(mutex_);
  Question question{.usage = usage_now(now)};
  if (!part_) return question;
  const bool is_needed = part_->requests_needed > 0 || part_->tokens_needed > 0;
  Amounts& held = part_->held;
  if (keep == Keep::what_is_used && part_->is_used && !is_needed) {
    question.asking.kept = held;
  } else {
    question.asking.returned = std::exchange(held, {});
  }
  question.asking.returned.tokens += std::exchange(part_->surplus.tokens, 0);
  question.asking.owed = std::exchange(part_->owed, {});
  question.asking.requests_needed = std::exchange(part_->requests_needed, 0);
  question.asking.tokens_needed = std::exchange(part_->tokens_needed, 0);
  question.asking.tokens_least = std::exchange(part_->tokens_least, 0);
  question.is_worth_asking = is_needed || part_->is_used || ration_ || part_->leased != Amounts{} ||
                             question.asking.returned != Amounts{} || question.asking.owed != Amounts{};
  part_->is_used = false;
  // Until the answer is there nobody may give more back to what is held than is kept of it.
  part_->leased = held;
  return question;
}

void Account::take(const Leased& leased, const Question& question, Moment now) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  if (!part_) return;
  ration_.reset();
  const Amounts& kept = question.asking.kept;
  const bool is_same_day = question.usage.day == day_;
  part_->held.requests += leased.lease.requests - kept.requests;
  part_->held.tokens += leased.lease.tokens - kept.tokens;
  part_->leased.requests = leased.lease.requests;
  part_->leased.tokens = leased.lease.tokens;
  if (requests_) requests_->restore(leased.requests_until_full, now.steady);
  if (tokens_) tokens_->restore(leased.tokens_until_full, now.steady);
  if (is_same_day) {
    part_->held.tokens_today += leased.lease.tokens_today - kept.tokens_today;
    part_->leased.tokens_today = leased.lease.tokens_today;
    part_->left_today = leased.left_today;
    requests_today_ += leased.requests_today - question.usage.requests;
    tokens_today_ += leased.tokens_today - question.usage.tokens;
  }
  // Those who wait for it have not come yet; and what was given back may be asked for again.
  if (leased.lease.requests > kept.requests || leased.lease.tokens > kept.tokens ||
      leased.lease.tokens_today > kept.tokens_today) {
    part_->is_used = true;
  }
  if (question.asking.returned.requests > 0 && !leased.lacks_requests) part_->requests_again_at = {};
  const bool has_returned_tokens = question.asking.returned.tokens > 0 || question.asking.returned.tokens_today > 0;
  if (has_returned_tokens && !leased.lacks_tokens) part_->tokens_again_at = {};
  // What others hold may come back any moment; otherwise there is nothing to be had for a while.
  if (leased.lacks_requests && leased.elsewhere.requests == 0 && requests_) {
    part_->requests_again_at = now.steady + std::min(kRefusalKept, requests_->until(1, now.steady));
  }
  const bool is_elsewhere = leased.elsewhere.tokens > 0 || leased.elsewhere.tokens_today > 0;
  if (leased.lacks_tokens && !is_elsewhere && is_same_day) {
    part_->tokens_again_at = now.steady + kRefusalKept;
    part_->tokens_lacking = question.asking.tokens_least;
  }
}

void Account::forget(const Question& question) {
  const std::scoped_lock lock(mutex_);
  if (!part_) return;
  part_->owed.requests += question.asking.owed.requests;
  part_->owed.tokens += question.asking.owed.tokens;
  part_->is_used = true;
}

void Account::cut_off(int gateways, bool has_lapsed, Moment now) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  if (!part_) return;
  if (has_lapsed) part_->held = part_->leased = {};
  if (ration_) return;
  gateways = std::max(1, gateways);
  ration_ = {.requests = ration_of(requests_, gateways, now.steady),
             .tokens = ration_of(tokens_, gateways, now.steady),
             .tokens_today = (part_->left_today + gateways - 1) / gateways,
             .gateways = gateways};
}

std::optional<Refused> Account::admit_shared(Moment now) {
  part_->is_used = true;
  if (part_->held.requests > 0) {
    --part_->held.requests;
    return std::nullopt;
  }
  if (ration_ && ration_->requests->has(1, now.steady)) {
    ration_->requests->take(1, now.steady);
    ++part_->owed.requests;
    return std::nullopt;
  }
  Refused refused{.bound = Bound::requests_per_minute, .limit = requests_->per_minute()};
  refused.wait = at_least_a_moment((ration_ ? ration_->requests : requests_)->until(1, now.steady));
  refused.may_be_got = !ration_ && now.steady >= part_->requests_again_at;
  if (refused.may_be_got) ++part_->requests_needed;
  return refused;
}

std::optional<Refused> Account::reserve_shared(std::int64_t tokens, Moment now, Reserved& into) {
  part_->is_used = true;
  Amounts& held = part_->held;
  // Even what is taken for nothing has to wait until a debt is paid.
  const std::int64_t wanted = std::max<std::int64_t>(tokens, 1);
  const bool is_daily = limits_.tokens_per_day.has_value(), is_minutely = tokens_.has_value();
  const auto refuse = [&](Bound bound, std::int64_t limit, Micros wait) {
    return Refused{.bound = bound, .limit = limit, .wait = wait, .is_for_ever = tokens > limit};
  };
  const Micros tomorrow =
      std::max(Micros{0}, std::chrono::ceil<Micros>(WallTime{day_ + std::chrono::days{1}} - now.wall));
  if (is_daily && tokens > *limits_.tokens_per_day)
    return refuse(Bound::tokens_per_day, *limits_.tokens_per_day, tomorrow);
  if (is_minutely && tokens > tokens_->per_minute()) {
    return refuse(Bound::tokens_per_minute, tokens_->per_minute(), tokens_->until(tokens, now.steady));
  }

  const bool lacks_day = is_daily && held.tokens_today < wanted, lacks_minute = is_minutely && held.tokens < wanted;
  if (!lacks_day && !lacks_minute) {
    if (is_daily) held.tokens_today -= tokens;
    if (is_minutely) held.tokens -= tokens;
  } else if (ration_) {
    // As much as the part can ever hold is admitted when it is full.
    if (is_daily && ration_->tokens_today < wanted) {
      return refuse(Bound::tokens_per_day, *limits_.tokens_per_day, tomorrow);
    }
    if (is_minutely) {
      const std::int64_t full = ration_->tokens->per_minute();
      const Micros wait = ration_->tokens->until(std::min(wanted, full), now.steady);
      if (wait > Micros{0}) return refuse(Bound::tokens_per_minute, tokens_->per_minute(), at_least_a_moment(wait));
      ration_->tokens->take(tokens, now.steady);
      part_->owed.tokens += tokens;
    }
    if (is_daily) ration_->tokens_today -= tokens;
  } else {
    // By what the database said last; a day that is used up is the longer wait.
    const bool is_day_over = is_daily && held.tokens_today + part_->left_today < wanted;
    Refused refused = is_day_over || !is_minutely ? refuse(Bound::tokens_per_day, *limits_.tokens_per_day, tomorrow)
                                                  : refuse(Bound::tokens_per_minute, tokens_->per_minute(),
                                                           at_least_a_moment(tokens_->until(wanted, now.steady)));
    refused.may_be_got = now.steady >= part_->tokens_again_at || wanted < part_->tokens_lacking;
    if (refused.may_be_got) {
      part_->tokens_least = part_->tokens_needed == 0 ? wanted : std::min(part_->tokens_least, wanted);
      part_->tokens_needed += wanted;
    }
    return refused;
  }
  tokens_today_ += tokens;
  into = {.tokens = tokens, .day = day_};
  return std::nullopt;
}

// What comes back may be used again at once, up to what was leased: the room beyond that has been filled meanwhile.
void Account::settle_shared(const Reserved& reserved, std::int64_t used, Moment now) {
  part_->is_used = true;
  const std::int64_t more = std::max<std::int64_t>(0, used - reserved.tokens);
  std::int64_t back = std::max<std::int64_t>(0, reserved.tokens - used);
  Amounts& held = part_->held;
  if (limits_.tokens_per_day && reserved.day == day_) {
    held.tokens_today = std::max<std::int64_t>(0, held.tokens_today + back - more);
    if (ration_) ration_->tokens_today -= more;
  }
  if (!tokens_) return;
  const std::int64_t from_held = std::min(more, std::max<std::int64_t>(0, held.tokens));
  held.tokens -= from_held;
  part_->owed.tokens += more - from_held;
  if (ration_) ration_->tokens->take(more - from_held, now.steady);
  const std::int64_t paid = std::min(back, part_->owed.tokens);
  part_->owed.tokens -= paid;
  if (ration_) ration_->tokens->give_back(paid, now.steady);
  back -= paid;
  const std::int64_t room = std::clamp<std::int64_t>(part_->leased.tokens - held.tokens, 0, back);
  held.tokens += room;
  part_->surplus.tokens += back - room;
}

}  // namespace gbgreg::keys

#include "keys/account.h"

#include <algorithm>

namespace gbgreg::keys {
namespace {

std::optional<Bucket> bucket_of(const std::optional<std::int64_t>& per_minute, SteadyTime now) {
  if (!per_minute) return std::nullopt;
  return Bucket(*per_minute, now);
}

Bucket::Micros until_tomorrow(Day day, WallTime now) {
  const WallTime tomorrow = day + std::chrono::days{1};
  return std::max(Bucket::Micros{0}, std::chrono::ceil<Bucket::Micros>(tomorrow - now));
}

Standing::Left left_of(Bucket& bucket, std::int64_t held, SteadyTime now) {
  return {.limit = bucket.per_minute(),
          .left = std::min(bucket.per_minute(), bucket.left(now) + held),
          .reset = bucket.until_full(now)};
}

}  // namespace

Account::Account(const Limits& limits, Moment now)
    : limits_(limits),
      requests_(bucket_of(limits.requests_per_minute, now.steady)),
      tokens_(bucket_of(limits.tokens_per_minute, now.steady)),
      day_(day_of(now.wall)) {}

std::optional<Refused> Account::admit(Moment now, Standing* standing) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  const auto refused = admit_one(now);
  if (standing != nullptr) *standing = stand(now);
  return refused;
}

std::optional<Refused> Account::admit_one(Moment now) {
  if (requests_ && part_) {
    if (auto refused = admit_shared(now)) return refused;
  } else if (requests_) {
    const auto wait = requests_->until(1, now.steady);
    if (wait > Bucket::Micros{0}) {
      return Refused{.bound = Bound::requests_per_minute, .limit = requests_->per_minute(), .wait = wait};
    }
    requests_->take(1, now.steady);
  }
  ++requests_today_;
  used_at_ = std::max(used_at_, now.wall);
  return std::nullopt;
}

std::optional<Refused> Account::reserve(std::int64_t tokens, Moment now, Reserved& into, Standing* standing) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  const auto refused = reserve_all(std::clamp<std::int64_t>(tokens, 0, kPerDayMax), now, into);
  if (standing != nullptr) *standing = stand(now);
  return refused;
}

std::optional<Refused> Account::reserve_all(std::int64_t tokens, Moment now, Reserved& into) {
  if (part_) return reserve_shared(tokens, now, into);
  if (limits_.tokens_per_day) {
    const std::int64_t limit = *limits_.tokens_per_day;
    if (tokens_today_ + tokens > limit || tokens_today_ >= limit) {
      return Refused{.bound = Bound::tokens_per_day,
                     .limit = limit,
                     .wait = until_tomorrow(day_, now.wall),
                     .is_for_ever = tokens > limit};
    }
  }
  if (tokens_) {
    const std::int64_t limit = tokens_->per_minute();
    // Even what is taken for nothing has to wait until a debt is paid.
    const auto wait = tokens_->until(std::clamp<std::int64_t>(tokens, 1, limit), now.steady);
    if (wait > Bucket::Micros{0} || tokens > limit) {
      return Refused{.bound = Bound::tokens_per_minute, .limit = limit, .wait = wait, .is_for_ever = tokens > limit};
    }
    tokens_->take(tokens, now.steady);
  }
  tokens_today_ += tokens;
  into = {.tokens = tokens, .day = day_};
  return std::nullopt;
}

void Account::settle(const Reserved& reserved, std::int64_t used, Moment now) {
  used = std::clamp<std::int64_t>(used, 0, kPerDayMax);
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  if (part_) {
    settle_shared(reserved, used, now);
  } else if (tokens_ && used > reserved.tokens) {
    tokens_->take(used - reserved.tokens, now.steady);
  } else if (tokens_ && used < reserved.tokens) {
    tokens_->give_back(reserved.tokens - used, now.steady);
  }
  // They belong to the day on which they were reserved, and its page may have been turned.
  if (reserved.day == day_) {
    tokens_today_ = std::clamp<std::int64_t>(tokens_today_ + used - reserved.tokens, 0, 2 * kPerDayMax);
  }
}

Standing Account::standing(Moment now) {
  const std::scoped_lock lock(mutex_);
  turn_page(now);
  return stand(now);
}

Standing Account::stand(Moment now) {
  Standing standing;
  const Amounts held = part_ ? part_->held : Amounts{};
  if (requests_) standing.requests = left_of(*requests_, held.requests, now.steady);
  if (tokens_) standing.tokens = left_of(*tokens_, held.tokens, now.steady);
  if (limits_.tokens_per_day) {
    const Standing::Left today{.limit = *limits_.tokens_per_day,
                               .left = part_ ? held.tokens_today + part_->left_today
                                             : std::max<std::int64_t>(0, *limits_.tokens_per_day - tokens_today_),
                               .reset = until_tomorrow(day_, now.wall)};
    if (!standing.tokens || today.left < standing.tokens->left) standing.tokens = today;
  }
  return standing;
}

Usage Account::usage(Moment now) {
  const std::scoped_lock lock(mutex_);
  return usage_now(now);
}

Usage Account::usage_now(Moment now) {
  const auto full_at = [&](std::optional<Bucket>& bucket) {
    return now.wall + (bucket ? bucket->until_full(now.steady) : Bucket::Micros{0});
  };
  turn_page(now);
  return {.day = day_,
          .requests = requests_today_,
          .tokens = tokens_today_,
          .requests_full_at = full_at(requests_),
          .tokens_full_at = full_at(tokens_),
          .used_at = used_at_};
}

void Account::restore(const Usage& usage, Moment now) {
  const auto fill = [&](std::optional<Bucket>& bucket, WallTime full_at) {
    if (bucket) bucket->restore(std::chrono::ceil<Bucket::Micros>(full_at - now.wall), now.steady);
  };
  const std::scoped_lock lock(mutex_);
  day_ = usage.day;
  requests_today_ = std::clamp<std::int64_t>(usage.requests, 0, kPerDayMax);
  tokens_today_ = std::clamp<std::int64_t>(usage.tokens, 0, kPerDayMax);
  used_at_ = usage.used_at;
  fill(requests_, usage.requests_full_at);
  fill(tokens_, usage.tokens_full_at);
  turn_page(now);
}

// A clock that is put back over midnight gives nobody a second budget; one that was a day or more ahead is believed.
void Account::turn_page(Moment now) {
  const Day today = day_of(now.wall);
  if (today == day_ || today == day_ - std::chrono::days{1}) return;
  day_ = today;
  requests_today_ = 0;
  tokens_today_ = 0;
  if (part_) {
    part_->held.tokens_today = part_->leased.tokens_today = 0;
    part_->left_today = limits_.tokens_per_day.value_or(0);
    part_->tokens_again_at = {};
  }
  if (ration_) ration_->tokens_today = limits_.tokens_per_day.value_or(0) / ration_->gateways;
}

}  // namespace gbgreg::keys

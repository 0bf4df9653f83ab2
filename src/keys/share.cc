#include "keys/share.h"

#include <algorithm>

#include "keys/account.h"

namespace gbgreg::keys {
namespace {

// All within one moment, so any will do.
constexpr SteadyTime kNow{};

// Of what is left beyond the need each gateway takes half of its equal share ahead, so that it need not come back soon.
std::int64_t ahead(std::int64_t left, std::int64_t needed, const Shared& shared) {
  return shared.is_wanted ? 0 : (left - needed) / (2 * std::max(1, shared.gateways));
}

struct Level {
  std::int64_t per_minute;
  Bucket::Micros until_full;
  std::int64_t own, others, kept, returned, owed;
};

Bucket bucket_at(const Level& level) {
  Bucket bucket(level.per_minute, kNow);
  bucket.restore(level.until_full, kNow);
  bucket.keep_room(level.own + level.others);
  bucket.give_back(level.returned, kNow);
  bucket.keep_room(level.kept + level.others);
  bucket.take(level.owed, kNow);
  return bucket;
}

}  // namespace

Leased share_out(const Limits& limits, const Shared& shared, const Asking& asking) {
  Leased leased{.lease = asking.kept, .elsewhere = shared.others, .is_wanted = shared.is_wanted};
  if (limits.requests_per_minute) {
    Bucket bucket = bucket_at({.per_minute = *limits.requests_per_minute,
                               .until_full = shared.requests_until_full,
                               .own = shared.own.requests,
                               .others = shared.others.requests,
                               .kept = asking.kept.requests,
                               .returned = asking.returned.requests,
                               .owed = asking.owed.requests});
    const std::int64_t left = bucket.left(kNow), needed = asking.requests_needed;
    const std::int64_t granted = needed < left ? needed + (needed > 0 ? ahead(left, needed, shared) : 0) : left;
    const std::int64_t taken = needed > 0 ? granted : 0;
    leased.lacks_requests = taken < needed;
    leased.lease.requests += taken;
    bucket.take(taken, kNow);
    leased.requests_until_full = bucket.until_full(kNow);
  }

  std::optional<Bucket> minute;
  std::int64_t left = kPerDayMax;  // Of both limits.
  if (limits.tokens_per_minute) {
    minute = bucket_at({.per_minute = *limits.tokens_per_minute,
                        .until_full = shared.tokens_until_full,
                        .own = shared.own.tokens,
                        .others = shared.others.tokens,
                        .kept = asking.kept.tokens,
                        .returned = asking.returned.tokens,
                        .owed = asking.owed.tokens});
    left = minute->left(kNow);
  }
  if (limits.tokens_per_day) {
    leased.left_today = std::max<std::int64_t>(
        0, *limits.tokens_per_day - shared.used_today - shared.others.tokens_today - asking.kept.tokens_today);
    left = std::min(left, leased.left_today);
  }
  if ((limits.tokens_per_minute || limits.tokens_per_day) && asking.tokens_needed > 0) {
    const std::int64_t needed = asking.tokens_needed;
    std::int64_t taken = needed < left ? needed + ahead(left, needed, shared) : left;
    if (left < asking.tokens_least) taken = 0;  // It would help nobody here, and may help another.
    leased.lacks_tokens = taken < needed;
    if (limits.tokens_per_minute) leased.lease.tokens += taken;
    if (limits.tokens_per_day) leased.lease.tokens_today += taken;
    if (limits.tokens_per_day) leased.left_today -= taken;
    if (minute) minute->take(taken, kNow);
  }
  if (minute) leased.tokens_until_full = minute->until_full(kNow);
  return leased;
}

}  // namespace gbgreg::keys

#include "keys/bucket.h"

#include <algorithm>

namespace gbgreg::keys {
namespace {

// Microseconds in a minute: each of them brings `per_minute` parts.
constexpr std::int64_t kParts = 60'000'000;
// More than any request takes, and small enough that no sum overflows.
constexpr std::int64_t kAmountMax = 10'000'000'000;
constexpr std::int64_t kDebtMax = 4'000'000'000'000'000'000;
static_assert(kPerMinuteMax * kParts <= 60'000'000'000'000'000 && kAmountMax * kParts + kDebtMax > 0);

std::int64_t parts_of(std::int64_t amount) { return std::clamp<std::int64_t>(amount, 0, kAmountMax) * kParts; }

}  // namespace

Bucket::Bucket(std::int64_t per_minute, SteadyTime now)
    : per_minute_(per_minute), level_(per_minute * kParts), filled_at_(now) {}

Bucket::Micros Bucket::until(std::int64_t amount, SteadyTime now) {
  fill(now);
  return until_level(parts_of(amount));
}

void Bucket::take(std::int64_t amount, SteadyTime now) {
  fill(now);
  level_ = std::max(level_ - parts_of(amount), -kDebtMax);
}

void Bucket::give_back(std::int64_t amount, SteadyTime now) {
  fill(now);
  level_ = std::min(level_ + parts_of(amount), per_minute_ * kParts);
}

void Bucket::keep_room(std::int64_t amount) {
  level_ = std::min(level_, per_minute_ * kParts - parts_of(std::min(amount, per_minute_)));
}

std::int64_t Bucket::left(SteadyTime now) {
  fill(now);
  return std::max<std::int64_t>(level_, 0) / kParts;
}

Bucket::Micros Bucket::until_full(SteadyTime now) {
  fill(now);
  return until_level(per_minute_ * kParts);
}

void Bucket::restore(Micros until_full, SteadyTime now) {
  const std::int64_t longest = (per_minute_ * kParts + kDebtMax) / per_minute_;
  const std::int64_t micros = std::clamp<std::int64_t>(until_full.count(), 0, longest);
  level_ = per_minute_ * kParts - micros * per_minute_;
  filled_at_ = now;
}

// Whole microseconds only; the rest of one is there the next time.
void Bucket::fill(SteadyTime now) {
  if (now <= filled_at_) return;
  const auto passed = std::chrono::duration_cast<Micros>(now - filled_at_);
  filled_at_ += passed;
  const bool is_full = passed >= until_level(per_minute_ * kParts);
  level_ = is_full ? per_minute_ * kParts : level_ + passed.count() * per_minute_;
}

Bucket::Micros Bucket::until_level(std::int64_t level) const {
  if (level_ >= level) return Micros{0};
  return Micros{(level - level_ + per_minute_ - 1) / per_minute_};
}

}  // namespace gbgreg::keys

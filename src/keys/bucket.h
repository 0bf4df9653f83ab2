// A token bucket: it holds a minute's worth, is filled evenly, and what is taken is gone until it has been filled
// again. In whole numbers throughout, so that nothing is lost or won by rounding, however long it runs.
//
// A plain value without a lock: account.h has one.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/clock.h"

namespace gbgreg::keys {

// Of requests or tokens a minute.
inline constexpr std::int64_t kPerMinuteMax = 1'000'000'000;

class Bucket {
 public:
  using Micros = std::chrono::microseconds;

  // Full. `per_minute` is from 1 to kPerMinuteMax.
  Bucket(std::int64_t per_minute, SteadyTime now);

  std::int64_t per_minute() const { return per_minute_; }

  // All calls: a `now` before that of an earlier call is taken as that one.

  // How long until it has so much; zero when it has. What is more than it can hold it never has.
  Micros until(std::int64_t amount, SteadyTime now);
  bool has(std::int64_t amount, SteadyTime now) { return until(amount, now) == Micros{0}; }
  // Whether it has it or not: below nothing is a debt, which is filled up first.
  void take(std::int64_t amount, SteadyTime now);
  // What was taken and not needed. It never holds more than a minute's worth.
  void give_back(std::int64_t amount, SteadyTime now);
  // So much of it is held elsewhere and may be used any moment: it has no more than the rest.
  void keep_room(std::int64_t amount);
  // Whole ones, and none of a debt.
  std::int64_t left(SteadyTime now);

  // All that there is to say of it, to be kept and to be taken up again.
  Micros until_full(SteadyTime now);
  void restore(Micros until_full, SteadyTime now);

 private:
  void fill(SteadyTime now);
  Micros until_level(std::int64_t level) const;

  std::int64_t per_minute_;
  std::int64_t level_;  // In parts of which one request, or token, is kParts: so many come each microsecond.
  SteadyTime filled_at_;
};

}  // namespace gbgreg::keys

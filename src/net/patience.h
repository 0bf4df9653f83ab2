// How long one side may still keep the other waiting: a least rate of bytes, and a grace on top of it.
//
// A timeout for each wait alone is no bound: who sends a byte shortly before each timeout holds a connection for ever.
// So patience is a store of time. It begins full, waiting empties it, and every byte that moves refills it a little,
// never beyond the full store. Only the time spent waiting for the other side's socket is to be counted: a stream that
// is slow because a model thinks, or an upload that waits for our disk, costs nothing. Pure; the caller brings the
// clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace gbgreg::net {

class Patience {
 public:
  // Each byte refills the store entirely: `grace` is then a bound on each single wait.
  explicit Patience(std::chrono::milliseconds grace) : Patience(grace, 0) {}
  Patience(std::chrono::milliseconds grace, std::uint64_t bytes_per_second_min)
      : grace_(grace), left_(grace), bytes_per_second_min_(bytes_per_second_min) {}

  // The most that the next wait may take; zero or less when patience is used up.
  std::chrono::milliseconds left() const { return std::chrono::ceil<std::chrono::milliseconds>(left_); }
  bool used_up() const { return left_ <= std::chrono::nanoseconds::zero(); }

  // A wait of so long brought, or took, so many bytes.
  void waited(std::chrono::nanoseconds duration, std::uint64_t bytes) {
    left_ = std::min<std::chrono::nanoseconds>(grace_, left_ - duration + worth_of(bytes));
  }

 private:
  // In whole nanoseconds, and at most the grace, which also keeps the multiplication far from its overflow.
  std::chrono::nanoseconds worth_of(std::uint64_t bytes) const {
    if (bytes == 0) return std::chrono::nanoseconds::zero();
    const auto grace_seconds = static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(grace_).count());
    if (bytes_per_second_min_ == 0 || bytes / bytes_per_second_min_ >= grace_seconds) return grace_;
    return std::chrono::nanoseconds{std::chrono::seconds{1}} * bytes / bytes_per_second_min_;
  }

  std::chrono::milliseconds grace_;
  std::chrono::nanoseconds left_;
  std::uint64_t bytes_per_second_min_;
};

}  // namespace gbgreg::net

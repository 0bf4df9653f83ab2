// One budget for the bytes of JSON bodies that are held at once, over all connections: a bound on each alone would
// still let many clients together take all memory.
//
// Any thread. A share belongs to one request and is given back by its destructor, so the budget outlives all requests.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace gbgreg::http {

class BodyBudget {
 public:
  explicit BodyBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;

  class Share {
   public:
    Share() = default;
    explicit Share(BodyBudget& budget) : budget_(&budget) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share() {
      if (budget_ != nullptr) budget_->held_.fetch_sub(bytes_, std::memory_order_relaxed);
    }

    std::uint64_t bytes() const { return bytes_; }
    // False, and nothing has changed, when the budget has not so much left. Becoming smaller always works.
    bool resize(std::uint64_t bytes);

   private:
    BodyBudget* budget_ = nullptr;
    std::uint64_t bytes_ = 0;
  };

  std::uint64_t held() const { return held_.load(std::memory_order_relaxed); }

 private:
  std::uint64_t bytes_max_;
  std::atomic<std::uint64_t> held_{0};
};

}  // namespace gbgreg::http

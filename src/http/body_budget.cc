#include "http/body_budget.h"

namespace gbgreg::http {

bool BodyBudget::Share::resize(std::uint64_t bytes) {
  if (bytes <= bytes_) {
    budget_->held_.fetch_sub(bytes_ - bytes, std::memory_order_relaxed);
  } else {
    const std::uint64_t more = bytes - bytes_;
    const std::uint64_t before = budget_->held_.fetch_add(more, std::memory_order_relaxed);
    const bool fits = before <= budget_->bytes_max_ && more <= budget_->bytes_max_ - before;
    if (!fits) {
      budget_->held_.fetch_sub(more, std::memory_order_relaxed);
      return false;
    }
  }
  bytes_ = bytes;
  return true;
}

}  // namespace gbgreg::http

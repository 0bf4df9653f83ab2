#include "fleet/figures.h"

#include <algorithm>

namespace gbgreg::fleet {
namespace {

constexpr double kNewestShare = 0.2;
constexpr int kTokensJudgedMin = 16;  // The first ones of an answer come by fits and starts.

}  // namespace

void Figures::add(const llm::Usage& usage, double total_ms) {
  // The first token comes out of the prompt, so a single one says nothing about the speed of generation.
  if (usage.completion_tokens > 1 && usage.generation_ms > 0) {
    const double newest = usage.completion_tokens * 1000.0 / usage.generation_ms;
    const double before = tokens_per_second_.value_or(newest);
    tokens_per_second_ = before + kNewestShare * (newest - before);
  }
  const bool is_judged = usage.completion_tokens >= kTokensJudgedMin && usage.generation_ms > 0;
  speeds_[count_ % kTotalsMax] = is_judged ? usage.completion_tokens * 1000.0 / usage.generation_ms : 0;
  totals_[count_++ % kTotalsMax] = total_ms;
}

std::optional<double> Figures::total_p95_ms() const {
  if (count_ == 0) return std::nullopt;
  const std::size_t kept = std::min(count_, kTotalsMax);
  std::array<double, kTotalsMax> sorted = totals_;
  const std::size_t rank = (kept * 95 + 99) / 100 - 1;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(rank),
                   sorted.begin() + static_cast<std::ptrdiff_t>(kept));
  return sorted[rank];
}

std::optional<double> Figures::tokens_per_second_best() const {
  const double best = *std::ranges::max_element(speeds_);
  return best > 0 ? std::optional(best) : std::nullopt;
}

void Figures::add_latency(double slot_ms) {
  const double before = latency_ms_.value_or(slot_ms);
  latency_ms_ = before + kNewestShare * (slot_ms - before);
}

}  // namespace gbgreg::fleet

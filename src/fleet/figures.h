// What the last answers of a worker say about its speed. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "llm/llm.h"

namespace gbgreg::fleet {

class Figures {
 public:
  static constexpr std::size_t kTotalsMax = 128;

  void add(const llm::Usage& usage, double total_ms);
  void add_latency(double slot_ms);
  // Of an answer while it had its slot, smoothed; absent before the first.
  std::optional<double> latency_ms() const { return latency_ms_; }

  // Of generation, smoothed; absent before the first answer that had tokens.
  std::optional<double> tokens_per_second() const { return tokens_per_second_; }
  // Of generation, the fastest of the last kTotalsMax answers that were long enough to be judged; absent before the
  // first. Of those that share a worker each is slower than one that has it for itself.
  std::optional<double> tokens_per_second_best() const;
  // Of the last kTotalsMax answers at most, by the nearest-rank method; absent before the first. Found when asked.
  std::optional<double> total_p95_ms() const;

 private:
  std::optional<double> tokens_per_second_;
  std::optional<double> latency_ms_;
  std::array<double, kTotalsMax> totals_{};
  std::array<double, kTotalsMax> speeds_{};  // 0 of one that was too short.
  std::size_t count_ = 0;
};

}  // namespace gbgreg::fleet

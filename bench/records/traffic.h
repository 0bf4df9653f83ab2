// Requests as a busy house asks them over a month, in the order of time and the same for the same seed: four roles of
// three models each, fifty keys, twenty routes, days and nights, latencies with long tails, and a few that are rare.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/clock.h"
#include "storage/requests.h"

namespace gbgreg::bench {

inline constexpr int kKeys = 50;
std::string key_named(int number);

// Of ten million rows two have both, though each of them is common enough.
inline constexpr const char* kRareRole = "vision";
inline constexpr int kRareStatus = 503;
// This key asked a handful of times, a month ago.
inline constexpr int kForgottenKey = kKeys;

class Traffic {
 public:
  Traffic(WallTime from, WallTime to, std::int64_t rows);

  // The next one, with id and created_at; nothing after the last.
  std::optional<storage::RequestRow> next();
  // One without them, for a recorder.
  storage::RequestRow row();

 private:
  double normal() { return normal_(random_); }
  std::size_t one_of(const std::vector<double>& sums);
  void begin_minute();
  void answer(storage::RequestRow& row);

  WallTime from_;
  std::int64_t rows_;
  std::int64_t given_ = 0;
  std::vector<double> minutes_;        // What part of all has come by the end of each.
  std::size_t minute_ = 0;             // The next one.
  std::vector<std::int64_t> moments_;  // Milliseconds of those of this minute, the last first.
  std::vector<double> keys_, routes_, statuses_, models_;
  std::mt19937_64 random_{1};  // NOLINT(cert-msc51-cpp): the same every time.
  std::normal_distribution<double> normal_;
};

}  // namespace gbgreg::bench

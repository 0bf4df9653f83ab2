// How long many things took, in a few hundred numbers that can be added to those of others: buckets that grow by a
// fixed factor, so that a percentile read from them is within 4 % of the true one, whatever the range (the idea of
// DDSketch, Masson and others, 2019).
//
// A value; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gbgreg::metrics {

class LatencySketch {
 public:
  // What is shorter or longer counts as the shortest or the longest.
  static constexpr double kShortestMs = 0.01;
  static constexpr double kLongestMs = 3'600'000;
  static constexpr double kGrowth = 1.08;

  void add(double ms, std::uint64_t count = 1);
  void merge(const LatencySketch& other);

  std::uint64_t count() const { return count_; }
  // The milliseconds that `share` (0 to 1) of all are within; nothing when there are none.
  std::optional<double> percentile(double share) const;

  // "17:3 21:1": only buckets that are not empty, in their order. Empty when there are none.
  std::string text() const;
  // What text() wrote; nothing for anything else.
  static std::optional<LatencySketch> read(std::string_view text);

  bool operator==(const LatencySketch&) const = default;

 private:
  void put(std::size_t bucket, std::uint64_t count);

  std::vector<std::uint64_t> buckets_;  // Up to the last that is not empty.
  std::uint64_t count_ = 0;
};

}  // namespace gbgreg::metrics

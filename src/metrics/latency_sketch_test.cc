#include "metrics/latency_sketch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace gbgreg::metrics {
namespace {

TEST(LatencySketch, OfNothingHasNoPercentile) {
  EXPECT_EQ(LatencySketch().percentile(0.5), std::nullopt);
  EXPECT_EQ(LatencySketch().count(), 0U);
}

TEST(LatencySketch, IsWithinFourPercentOfTheTruth) {
  std::mt19937_64 dice(1);  // NOLINT(bugprone-random-generator-seed): the same every time.
  std::lognormal_distribution<double> times(3, 2);
  LatencySketch sketch;
  std::vector<double> all;
  for (int i = 0; i < 100'000; ++i) {
    all.push_back(std::clamp(times(dice), 0.02, 3'000'000.0));
    sketch.add(all.back());
  }
  std::ranges::sort(all);
  for (const double share : {0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999}) {
    const double truth = all[static_cast<std::size_t>(std::ceil(share * static_cast<double>(all.size()))) - 1];
    EXPECT_NEAR(*sketch.percentile(share) / truth, 1, 0.04) << share;
  }
}

TEST(LatencySketch, TogetherIsAsIfCountedTogether) {
  LatencySketch one, two, both;
  for (int i = 1; i < 1'000; ++i) {
    (i % 3 == 0 ? one : two).add(i);
    both.add(i);
  }
  one.merge(two);
  EXPECT_EQ(one, both);
  EXPECT_EQ(one.count(), 999U);
}

TEST(LatencySketch, HoldsWhatIsOutOfItsRangeAtItsEnds) {
  LatencySketch sketch;
  sketch.add(0);
  sketch.add(-5);
  sketch.add(std::numeric_limits<double>::quiet_NaN());
  EXPECT_NEAR(*sketch.percentile(1), LatencySketch::kShortestMs, 1e-9);
  sketch.add(std::numeric_limits<double>::infinity());
  sketch.add(1e12);
  EXPECT_NEAR(*sketch.percentile(1) / LatencySketch::kLongestMs, 1, 0.05);
  EXPECT_EQ(LatencySketch::read(sketch.text()), sketch);
}

TEST(LatencySketch, ComesBackFromItsText) {
  LatencySketch sketch;
  EXPECT_EQ(sketch.text(), "");
  EXPECT_EQ(LatencySketch::read(""), sketch);
  sketch.add(1.0, 3);
  sketch.add(250.0);
  EXPECT_EQ(LatencySketch::read(sketch.text()), sketch);
  for (const char* bad : {"x", "1", "1:", "1:x", ":1", "1:1 ", " 1:1", "1:1  2:1", "1:1,2:1", "2:1 1:1", "1:1 1:1",
                          "1:0", "-1:1", "1:-1", "999999999:1", "99999999999999999999:1", "1:99999999999999999999"}) {
    EXPECT_EQ(LatencySketch::read(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace gbgreg::metrics

#include "records/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace gbgreg::records {
namespace {

using storage::RollupSpan;
using testing::ElementsAre;

constexpr std::int64_t kHour = 3'600, kDay = 86'400;

Piece minutes(std::int64_t from, std::int64_t to) { return {.span = RollupSpan::minute, .period = {from, to}}; }
Piece tens(std::int64_t from, std::int64_t to) { return {.span = RollupSpan::ten_minutes, .period = {from, to}}; }
Piece sixes(std::int64_t from, std::int64_t to) { return {.span = RollupSpan::six_hours, .period = {from, to}}; }
Piece hours(std::int64_t from, std::int64_t to) { return {.span = RollupSpan::hour, .period = {from, to}}; }
Piece days(std::int64_t from, std::int64_t to) { return {.span = RollupSpan::day, .period = {from, to}}; }

TEST(Windows, EndWithThisMinuteAndBeginWithABucket) {
  const std::int64_t now = 20'000 * kDay + 5 * kHour + 754;
  for (const Window& window : kWindows) {
    const Period period = period_of(window, now);
    EXPECT_EQ(period.to, 20'000 * kDay + 5 * kHour + 780) << window.name;
    EXPECT_EQ(period.from % window.bucket, 0);
    EXPECT_GE(period.to - period.from, window.seconds);
    EXPECT_LT(period.to - period.from, window.seconds + window.bucket);
    EXPECT_EQ(window_named(window.name)->seconds, window.seconds);
  }
  EXPECT_FALSE(window_named("1y"));
}

TEST(Windows, ASeriesIsReadFromTheLargestSpansThatItsPointsHaveAWholeNumberOf) {
  EXPECT_EQ(largest_in(60), RollupSpan::minute);
  EXPECT_EQ(largest_in(600), RollupSpan::ten_minutes);
  EXPECT_EQ(largest_in(3'600), RollupSpan::hour);
  EXPECT_EQ(largest_in(6 * 3'600), RollupSpan::six_hours);
  EXPECT_EQ(largest_in(kDay), RollupSpan::six_hours);
  EXPECT_EQ(largest_in(90), RollupSpan::minute) << "no point is shorter than a minute";
}

TEST(Pieces, AreTheLargestWholeSpansAndSmallOnesAtTheEdges) {
  const Period period{.from = kDay - kHour - 660, .to = 3 * kDay + 8 * kHour + 60};
  EXPECT_THAT(pieces_of(period, RollupSpan::day, {}),
              ElementsAre(minutes(kDay - kHour - 660, kDay - kHour - 600), tens(kDay - kHour - 600, kDay - kHour),
                          hours(kDay - kHour, kDay), days(kDay, 3 * kDay), sixes(3 * kDay, 3 * kDay + 6 * kHour),
                          hours(3 * kDay + 6 * kHour, 3 * kDay + 8 * kHour), minutes(3 * kDay + 8 * kHour, period.to)));
  EXPECT_THAT(pieces_of(period, RollupSpan::hour, {}),
              ElementsAre(minutes(kDay - kHour - 660, kDay - kHour - 600), tens(kDay - kHour - 600, kDay - kHour),
                          hours(kDay - kHour, 3 * kDay + 8 * kHour), minutes(3 * kDay + 8 * kHour, period.to)));
  EXPECT_THAT(pieces_of(period, RollupSpan::minute, {}), ElementsAre(minutes(period.from, period.to)));
  EXPECT_THAT(pieces_of({.from = 60, .to = 120}, RollupSpan::day, {}), ElementsAre(minutes(60, 120)));
}

TEST(Pieces, OfWhatIsNotPutTogetherYetAreSmaller) {
  const OpenSpan open[] = {{RollupSpan::hour, kHour}, {RollupSpan::day, 0}};
  EXPECT_THAT(pieces_of({.from = 0, .to = 2 * kDay}, RollupSpan::day, open),
              ElementsAre(hours(0, kHour), tens(kHour, 2 * kHour), hours(2 * kHour, 6 * kHour), sixes(6 * kHour, kDay),
                          days(kDay, 2 * kDay)));
}

TEST(Pieces, OfADayWithAnOpenPartAreItsOtherParts) {
  const OpenSpan open[] = {{RollupSpan::ten_minutes, 23 * kHour + 600}};
  EXPECT_THAT(
      pieces_of({.from = 0, .to = 2 * kDay}, RollupSpan::day, open),
      ElementsAre(sixes(0, 18 * kHour), hours(18 * kHour, 23 * kHour), tens(23 * kHour, 23 * kHour + 600),
                  minutes(23 * kHour + 600, 23 * kHour + 1'200), tens(23 * kHour + 1'200, kDay), days(kDay, 2 * kDay)));
}

TEST(Pieces, CoverEachMinuteOnce) {
  std::mt19937 dice(1);  // NOLINT(bugprone-random-generator-seed): the same every time.
  for (int i = 0; i < 500; ++i) {
    const std::int64_t from = 60 * static_cast<std::int64_t>(dice() % 5'000);
    const Period period{.from = from, .to = from + 60 * static_cast<std::int64_t>(1 + dice() % 8'000)};
    std::vector<OpenSpan> open;
    for (const RollupSpan span : storage::kPutTogether) {
      for (std::int64_t start = 0; start < period.to; start += storage::seconds_of(span)) {
        if (dice() % 3 == 0) open.push_back({span, start});
      }
    }
    std::int64_t at = period.from;
    for (const Piece& piece : pieces_of(period, RollupSpan::day, open)) {
      ASSERT_EQ(piece.period.from, at);
      ASSERT_GT(piece.period.to, at);
      ASSERT_EQ(piece.period.from % storage::seconds_of(piece.span), 0);
      ASSERT_EQ(piece.period.to % storage::seconds_of(piece.span), 0);
      at = piece.period.to;
    }
    ASSERT_EQ(at, period.to);
  }
}

}  // namespace
}  // namespace gbgreg::records

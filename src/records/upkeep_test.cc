#include "records/upkeep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "records/sums.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::records {
namespace {

using storage::RequestRow;
using storage::RollupRow;
using storage::RollupSpan;
using testing::SizeIs;
using namespace std::chrono_literals;

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kMidnight = 20'000 * kDay;  // Some day's.

WallTime at(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

class UpkeepTest : public testing::Test {
 protected:
  // As one writer would.
  void answer(std::int64_t ended, double total_ms) {
    const RequestRow row{.id = new_uuid(at(ended)),
                         .created_at = rfc3339(at(ended)),
                         .route = "POST /api/generate",
                         .role = "technical",
                         .model = "demo",
                         .status = 200,
                         .total_ms = total_ms};
    MinuteSums sums("w" + std::to_string(++writers_));
    sums.add(row, ended);
    const auto written = store_.write(std::span(&row, 1), sums.changed(), 0);
    ASSERT_TRUE(written) << written.error().detail;
  }
  Sum sum(RollupSpan span, std::int64_t from, std::int64_t to) {
    const auto rows = store_.rollups({.span = span, .from = from, .to = to, .dimension = "all"});
    EXPECT_TRUE(rows);
    Sum sum;
    for (const RollupRow& row : *rows) EXPECT_TRUE(sum.add(row));
    return sum;
  }
  void keep(std::int64_t now, std::chrono::days kept = std::chrono::days(30)) {
    const auto done = keep_up(store_, at(now), kept);
    ASSERT_TRUE(done) << done.error().message << " " << done.error().detail;
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  SystemClock clock_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  storage::RequestStore& store_ = stores_.requests;
  int writers_ = 0;
};

TEST_F(UpkeepTest, MinutesOfSeveralWritersBecomeAnHourOnceItIsOver) {
  Sum all;
  for (int i = 0; i < 10; ++i) {
    answer(kMidnight + 300 * i, 10 * (i + 1));
    all.add(RequestRow{.model = "demo", .status = 200, .total_ms = 10.0 * (i + 1)});
  }
  keep(kMidnight + 3'600);
  EXPECT_EQ(sum(RollupSpan::hour, kMidnight, kMidnight + kDay).requests, 0) << "records come a moment later";
  keep(kMidnight + 3'700);
  EXPECT_EQ(sum(RollupSpan::hour, kMidnight, kMidnight + kDay), all);
  EXPECT_THAT(*store_.rollups({.span = RollupSpan::hour, .from = kMidnight, .to = kMidnight + kDay}), SizeIs(5));
}

TEST_F(UpkeepTest, HoursBecomeADayOnceItIsOver) {
  for (int hour = 0; hour < 24; ++hour) answer(kMidnight + hour * 3'600, 5);
  keep(kMidnight + kDay - 1);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 0);
  keep(kMidnight + kDay + 60);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 24);
}

TEST_F(UpkeepTest, WhatComesLateIsInTheHourAndTheDayAfterwards) {
  answer(kMidnight + 10, 5);
  keep(kMidnight + kDay + 60);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 1);
  answer(kMidnight + 12, 5);
  keep(kMidnight + kDay + 120);
  EXPECT_EQ(sum(RollupSpan::hour, kMidnight, kMidnight + kDay).requests, 2);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 2);
}

TEST_F(UpkeepTest, TheSameAgainChangesNothing) {
  answer(kMidnight, 5);
  for (int i = 0; i < 3; ++i) keep(kMidnight + kDay + 60);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 1);
}

TEST_F(UpkeepTest, WhatIsOldGoesAndItsSumsOfDaysStay) {
  answer(kMidnight, 5);
  answer(kMidnight + 9 * kDay, 5);
  keep(kMidnight + kDay + 60);
  keep(kMidnight + 10 * kDay, std::chrono::days(7));
  EXPECT_THAT(store_.list({})->requests, SizeIs(1));
  EXPECT_EQ(sum(RollupSpan::minute, kMidnight, kMidnight + kDay).requests, 0);
  EXPECT_EQ(sum(RollupSpan::minute, kMidnight + 9 * kDay, kMidnight + 10 * kDay).requests, 1);
  EXPECT_EQ(sum(RollupSpan::hour, kMidnight, kMidnight + kDay).requests, 1);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 1);
  keep(kMidnight + 200 * kDay, std::chrono::days(7));
  EXPECT_EQ(sum(RollupSpan::hour, kMidnight, kMidnight + kDay).requests, 0);
  EXPECT_EQ(sum(RollupSpan::day, kMidnight, kMidnight + kDay).requests, 1);
}

}  // namespace
}  // namespace gbgreg::records

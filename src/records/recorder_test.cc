#include "records/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/utf8.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::records {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

class TestClock final : public Clock {
 public:
  SteadyTime steady() const override { return now += a_look_takes; }
  WallTime wall() const override { return WallTime(20'000 * 24h + (now - SteadyTime{})); }
  mutable SteadyTime now{};
  std::chrono::milliseconds a_look_takes{0};
};

constexpr int kLanes = 2;

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() { start_anew(); }

  // As a process that was killed and started again.
  void start_anew(const RecorderOptions& options = {}, std::uint64_t spool_bytes = 1024 * 1024) {
    recorder_.reset();
    registry_ = std::make_unique<metrics::Registry>(kLanes);
    auto spool = std::make_unique<Spool>(folder_.path() / "records.spool", disk_, spool_bytes);
    ASSERT_TRUE(spool->open());
    recorder_ = std::make_unique<Recorder>(stores_.requests, std::move(spool), *registry_, clock_,
                                           "w" + std::to_string(++starts_), options);
  }
  void answer(int lane = 0, const std::string& name = "x") {
    recorder_->record(lane, {.at = clock_.wall(), .row = {.request_id = name, .route = "GET /x", .status = 200}});
  }
  std::size_t rows() {
    const auto page = stores_.requests.list({.limit = 1'000});
    EXPECT_TRUE(page);
    return page ? page->requests.size() : 0;
  }
  std::int64_t counted() {
    Sum sum;
    const auto parts = stores_.requests.rollups({.from = 0, .to = std::int64_t{1} << 40, .dimension = "all"});
    EXPECT_TRUE(parts);
    for (const auto& part : *parts) EXPECT_TRUE(sum.add(part));
    return sum.requests;
  }
  void sql(const std::string& statement) {
    const auto done = stores_.database->with_connection([&](soci::session& session) -> Result<void> {
      session << statement;
      return {};
    });
    ASSERT_TRUE(done) << done.error().detail;
  }
  void take_the_database_away() { sql("ALTER TABLE gbgreg_requests RENAME TO gbgreg_requests_away"); }
  void give_it_back() {
    sql("ALTER TABLE gbgreg_requests_away RENAME TO gbgreg_requests");
    clock_.now += 2s;
  }
  std::string metrics_text() const { return registry_->prometheus_text(); }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  TestClock clock_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  std::unique_ptr<metrics::Registry> registry_;
  std::unique_ptr<Recorder> recorder_;
  int starts_ = 0;
};

TEST_F(RecorderTest, WritesWhatEveryLaneRecorded) {
  answer(0, "a");
  answer(1, "b");
  answer(metrics::kOtherLane, "c");
  recorder_->write_now();
  EXPECT_EQ(rows(), 3U);
  EXPECT_EQ(counted(), 3);
  EXPECT_EQ(stores_.requests.list({})->requests.front().created_at, rfc3339(clock_.wall()));
  recorder_->write_now();
  EXPECT_EQ(rows(), 3U);
}

TEST_F(RecorderTest, TakesWhatComesWhileAFileOfManyRowsIsWritten) {
  start_anew({.queue_max = 10'000}, 64 * 1024 * 1024);
  take_the_database_away();
  for (int i = 0; i < 10'000; ++i) answer(0);
  EXPECT_FALSE(recorder_->write_now());
  give_it_back();
  clock_.a_look_takes = 150ms;
  EXPECT_TRUE(recorder_->write_now());
  const std::int64_t before = counted();
  EXPECT_GT(before, 0);
  EXPECT_LT(before, 10'000);
  answer(0, "new");
  EXPECT_TRUE(recorder_->write_now());
  EXPECT_EQ(stores_.requests.list({.limit = 1})->requests.front().request_id, "new");
  EXPECT_LT(counted(), 10'001);
  while (recorder_->write_now()) {
  }
  EXPECT_EQ(counted(), 10'001);
  EXPECT_EQ(recorder_->dropped(), 0U);
}

TEST_F(RecorderTest, AnIdSaysWhenItsRowEnded) {
  const WallTime now = clock_.wall();
  const auto ended = [&](std::chrono::milliseconds after) {
    recorder_->record(0, {.at = now + after, .row = {.request_id = "x", .route = "GET /x", .status = 200}});
    recorder_->write_now();
    return stores_.requests.list({.limit = 1'000})->requests;
  };
  ended(0ms);
  ended(40ms);
  EXPECT_EQ(ended(10ms).front().created_at, rfc3339(now + 40ms)) << "a moment late";
  const auto rows = ended(-1h);
  EXPECT_EQ(rows.back().created_at, rfc3339(now - 1h)) << "the clock was put back";
  ASSERT_THAT(rows, SizeIs(4));
  for (const auto& row : rows) {
    const auto at = parse_rfc3339(row.created_at);
    ASSERT_TRUE(at);
    EXPECT_GE(row.id, first_uuid_of(*at));
    EXPECT_LT(row.id, first_uuid_of(*at + 1ms));
  }
}

TEST_F(RecorderTest, WhatIsNoTextBecomesOne) {
  recorder_->record(0, {.at = clock_.wall(), .row = {.model = std::string("a\0b\xff", 4), .status = 200}});
  recorder_->write_now();
  ASSERT_EQ(rows(), 1U);
  EXPECT_TRUE(is_valid_utf8(stores_.requests.list({})->requests.front().model));
}

TEST_F(RecorderTest, MoreThanATransactionTakes) {
  start_anew({.batch_max = 10});
  for (int i = 0; i < 95; ++i) answer(i % kLanes);
  recorder_->write_now();
  EXPECT_EQ(rows(), 95U);
  EXPECT_EQ(counted(), 95);
}

TEST_F(RecorderTest, WhatALaneHasNoPlaceForIsCounted) {
  start_anew({.queue_max = 3});
  for (int i = 0; i < 5; ++i) answer(0);
  answer(1);
  EXPECT_EQ(recorder_->dropped(), 2U);
  recorder_->write_now();
  EXPECT_EQ(rows(), 4U);
  EXPECT_TRUE(metrics_text().contains("gbgreg_records_dropped_total 2"));
}

TEST_F(RecorderTest, NothingIsLostOrCountedTwiceWhileTheDatabaseIsAway) {
  answer();
  recorder_->write_now();
  take_the_database_away();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i) answer(i % kLanes);
    recorder_->write_now();
    clock_.now += 2s;
  }
  EXPECT_TRUE(metrics_text().contains("gbgreg_records_spooled_total 30"));
  give_it_back();
  answer();
  recorder_->write_now();
  EXPECT_EQ(rows(), 32U);
  EXPECT_EQ(counted(), 32);
  EXPECT_EQ(recorder_->dropped(), 0U);
  EXPECT_EQ(std::filesystem::file_size(folder_.path() / "records.spool"), 0U);
}

TEST_F(RecorderTest, ADatabaseThatIsAwayIsNotAskedEveryTime) {
  take_the_database_away();
  answer();
  recorder_->write_now();
  sql("ALTER TABLE gbgreg_requests_away RENAME TO gbgreg_requests");
  answer();
  recorder_->write_now();
  EXPECT_EQ(rows(), 0U) << "not yet";
  clock_.now += 2s;
  recorder_->write_now();
  EXPECT_EQ(rows(), 2U);
}

TEST_F(RecorderTest, TheNextProcessWritesWhatAKilledOneLeft) {
  take_the_database_away();
  for (int i = 0; i < 10; ++i) answer();
  recorder_->write_now();
  give_it_back();
  start_anew();
  recorder_->write_now();
  EXPECT_EQ(rows(), 10U);
  EXPECT_EQ(counted(), 10);
}

TEST_F(RecorderTest, WhatWasWrittenBeforeTheSpoolWasEmptiedIsNotWrittenAgain) {
  take_the_database_away();
  for (int i = 0; i < 10; ++i) answer();
  recorder_->write_now();
  const auto spool = folder_.path() / "records.spool", copy = folder_.path() / "copy";
  std::filesystem::copy_file(spool, copy);
  give_it_back();
  recorder_->write_now();
  ASSERT_EQ(rows(), 10U);
  recorder_.reset();
  std::filesystem::copy_file(copy, spool, std::filesystem::copy_options::overwrite_existing);
  start_anew();
  recorder_->write_now();
  EXPECT_EQ(rows(), 10U);
  EXPECT_EQ(counted(), 10);
}

TEST_F(RecorderTest, WhenTheSpoolIsFullTooItHoldsWhatItMayAndCountsTheRest) {
  start_anew({.queue_max = 100'000}, 1);
  take_the_database_away();
  for (int i = 0; i < 70'000; ++i) answer();
  recorder_->write_now();
  EXPECT_EQ(recorder_->dropped(), 70'000U - 65'536U);
  give_it_back();
  recorder_->write_now();
  EXPECT_EQ(counted(), 65'536);
}

TEST_F(RecorderTest, AddsToTheSumsOfAMinuteWhatComesInLaterRounds) {
  for (int round = 0; round < 5; ++round) {
    answer();
    recorder_->write_now();
    clock_.now += 1s;
  }
  EXPECT_EQ(counted(), 5);
  EXPECT_THAT(*stores_.requests.rollups({.from = 0, .to = std::int64_t{1} << 40, .dimension = "all"}), SizeIs(1));
}

TEST_F(RecorderTest, HasTheLatestForWhoeverWatches) {
  start_anew({.recent_max = 3});
  const auto names = [this](std::uint64_t since) {
    std::vector<std::string> names;
    for (const auto& row : recorder_->recent(since).rows) names.push_back(row.request_id);
    return names;
  };
  EXPECT_THAT(names(0), IsEmpty());
  for (const char* name : {"a", "b"}) answer(0, name);
  recorder_->write_now();
  EXPECT_THAT(names(0), ElementsAre("a", "b"));
  EXPECT_EQ(recorder_->recent(0).next, 2U);
  EXPECT_THAT(names(2), IsEmpty());
  for (const char* name : {"c", "d", "e", "f"}) answer(0, name);
  recorder_->write_now();
  EXPECT_THAT(names(2), ElementsAre("d", "e", "f")) << "c is too old";
  EXPECT_THAT(names(5), ElementsAre("f"));
  EXPECT_THAT(names(99), IsEmpty());
}

TEST_F(RecorderTest, ItsThreadWritesWhatManyLanesRecordAndAllOfItBeforeItStops) {
  recorder_->start();
  std::vector<std::thread> lanes;
  lanes.reserve(kLanes);
  for (int lane = 0; lane < kLanes; ++lane) {
    lanes.emplace_back([this, lane] {
      for (int i = 0; i < 5'000; ++i) answer(lane);
    });
  }
  for (auto& lane : lanes) lane.join();
  recorder_->stop();
  EXPECT_EQ(counted(), 10'000);
  EXPECT_EQ(recorder_->dropped(), 0U);
}

}  // namespace
}  // namespace gbgreg::records

#include "services/analytics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "records/upkeep.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using records::Sum;
using storage::RequestRow;
using testing::ElementsAre;
using namespace std::chrono_literals;

class TestClock final : public Clock {
 public:
  SteadyTime steady() const override { return now; }
  WallTime wall() const override { return WallTime(20'000 * 24h + (now - SteadyTime{})); }
  SteadyTime now{};
};

class AnalyticsTest : public testing::Test {
 protected:
  AnalyticsTest() {
    auto spool = std::make_unique<records::Spool>(folder_.path() / "records.spool", disk_, 1024 * 1024);
    EXPECT_TRUE(spool->open());
    recorder_ = std::make_unique<records::Recorder>(stores_.requests, std::move(spool), registry_, clock_, "w",
                                                    records::RecorderOptions{});
    analytics_ = std::make_unique<Analytics>(
        pool_, Analytics::Stores{.requests = stores_.requests, .texts = texts_, .uploads = stores_.uploads}, *recorder_,
        clock_);
  }
  std::int64_t now() const {
    return std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  }
  void answer(const std::string& role, double total_ms) {
    const RequestRow row{
        .route = "POST /api/generate", .role = role, .model = "m", .status = 200, .total_ms = total_ms};
    all_.emplace_back(now(), row);
    recorder_->record(0, {.at = clock_.wall(), .row = records::view_of(row)});
  }
  // What the sums should come to, counted one by one.
  Sum truth(const records::Period& period, const std::string& role = "") const {
    Sum sum;
    for (const auto& [ended, row] : all_) {
      if (ended >= period.from && ended < period.to && (role.empty() || row.role == role)) sum.add(row);
    }
    return sum;
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  TestClock clock_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  metrics::Registry registry_{1};
  asio::thread_pool pool_{1};
  storage::RequestTextStore texts_{*stores_.database};
  std::unique_ptr<records::Recorder> recorder_;
  std::unique_ptr<Analytics> analytics_;
  std::vector<std::pair<std::int64_t, RequestRow>> all_;
};

// Some requests, some time, over and over; the sums are put together at whatever moment.
TEST_F(AnalyticsTest, SaysWhatCountingOneByOneSays) {
  std::mt19937 dice(7);  // NOLINT(bugprone-random-generator-seed): the same every time.
  for (int round = 0; round < 400; ++round) {
    for (unsigned i = 0; i < 1 + dice() % 4; ++i) answer(dice() % 2 == 0 ? "technical" : "vision", 1 + dice() % 1'000);
    recorder_->write_now();
    clock_.now += std::chrono::seconds(dice() % 4'000);
    if (round % 40 != 39) continue;
    for (const records::Window& window : records::kWindows) {
      const auto summary = analytics_->summary_now(window);
      ASSERT_TRUE(summary) << summary.error().detail;
      const auto told = summary->sums.find({"all", ""});
      EXPECT_EQ(told == summary->sums.end() ? Sum{} : told->second, truth(summary->period)) << window.name << round;

      const auto series = analytics_->series_now(window, "role");
      ASSERT_TRUE(series) << series.error().detail;
      for (const auto& [role, points] : series->points) {
        for (const auto& [start, point] : points) {
          EXPECT_EQ(point, truth({.from = start, .to = start + series->bucket}, role)) << window.name << " " << start;
        }
      }
    }
  }
}

TEST_F(AnalyticsTest, TellsUploadsOfTheTimeByKind) {
  const auto upload = [this](const char* kind, std::uint64_t bytes) {
    const auto inserted = stores_.uploads.insert({.id = new_uuid(clock_.wall()),
                                                  .filename = "a",
                                                  .original_filename = "a",
                                                  .kind = kind,
                                                  .media_type = "text/plain",
                                                  .size_bytes = bytes,
                                                  .sha256 = std::string(64, 'a'),
                                                  .created_at = rfc3339(clock_.wall())});
    ASSERT_TRUE(inserted) << inserted.error().detail;
  };
  upload("text", 1);
  clock_.now += 2h;
  upload("text", 10);
  upload("text", 20);
  upload("image", 5'000'000'000);
  EXPECT_THAT(analytics_->summary_now(records::kWindows[0])->uploads,
              ElementsAre(storage::UploadsOfKind{"image", 1, 5'000'000'000}, storage::UploadsOfKind{"text", 2, 30}));
}

TEST_F(AnalyticsTest, OfNothingIsNothing) {
  for (const records::Window& window : records::kWindows) {
    EXPECT_TRUE(analytics_->summary_now(window)->sums.empty());
    EXPECT_TRUE(analytics_->series_now(window, "all")->points.empty());
  }
}

}  // namespace
}  // namespace gbgreg::services

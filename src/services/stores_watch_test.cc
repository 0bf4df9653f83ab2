#include "services/stores_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using Report = std::optional<StoresReport>;

// Counts how often it is asked, which the watch does once at the end of each look.
class FakeClock final : public Clock {
 public:
  SteadyTime steady() const override {
    ++asked_;
    return SteadyTime{std::chrono::seconds{now_seconds.load()}};
  }
  WallTime wall() const override { return WallTime{}; }
  int asked() const { return asked_; }

  std::atomic<int> now_seconds = 1'000;

 private:
  mutable std::atomic<int> asked_ = 0;
};

class StoresWatchTest : public testing::Test {
 protected:
  void TearDown() override {
    free_pool();
    pool_.join();
  }

  Report ask(StoresWatch& watch) {
    IoContext io;
    Report report;
    spawn(io.get_executor(), "test", keep(watch, report));
    io.run();
    return report;
  }
  static Task<void> keep(StoresWatch& watch, Report& report) { report = co_await watch.report(); }

  // As a locked database or a disk that hangs does.
  void block_pool() {
    asio::post(pool_, [gate = gate_.get_future().share()] { gate.wait(); });
  }
  void free_pool() {
    gate_.set_value();
    gate_ = {};
  }

  static constexpr StoresWatchOptions kImpatient{.wait_max = std::chrono::milliseconds{1}};
  static constexpr StoresWatchOptions kPatient{.wait_max = std::chrono::minutes{5}};

  storage::TestFolder folder_;
  storage::Disk disk_;
  FakeClock clock_;
  storage::TestStores stores_{folder_.path(), disk_, SystemClock{}};
  std::promise<void> gate_;
  asio::thread_pool pool_{1};
  StoresWatch impatient_{pool_, *stores_.database, *stores_.blobs, clock_, kImpatient};
  StoresWatch patient_{pool_, *stores_.database, *stores_.blobs, clock_, kPatient};
};

TEST_F(StoresWatchTest, TellsHowDatabaseAndDiskAre) {
  const Report report = ask(patient_);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->database_answers);
  EXPECT_TRUE(report->folder_is_writable);
  EXPECT_GT(report->free_bytes, 0U);
}

TEST_F(StoresWatchTest, TellsWhatIsTrueNowAndNotWhatWas) {
  ASSERT_TRUE(ask(patient_)->folder_is_writable);
  std::filesystem::remove_all(stores_.options.uploads_folder);
  EXPECT_FALSE(ask(patient_)->folder_is_writable);
}

TEST_F(StoresWatchTest, SaysNothingWhenNobodyCouldEverLook) {
  block_pool();
  EXPECT_FALSE(ask(impatient_));
}

TEST_F(StoresWatchTest, TellsTheLastReportWhileNobodyCanLookUntilItIsTooOld) {
  const auto look = [this] { return ask(impatient_); };
  while (!look()) {  // It is impatient, and the machine may be busy.
  }
  // None of those looks may end when the clock has been put forward.
  std::promise<void> idle;
  asio::post(pool_, [&idle] { idle.set_value(); });
  idle.get_future().wait();
  block_pool();
  EXPECT_TRUE(look());
  clock_.now_seconds += 5;
  EXPECT_TRUE(look());
  clock_.now_seconds += 1;
  EXPECT_FALSE(look());
  free_pool();
  while (!look()) {
  }
}

TEST_F(StoresWatchTest, LooksOnceForAllWhoAskMeanwhile) {
  block_pool();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(ask(impatient_));
  EXPECT_EQ(clock_.asked(), 0);
  free_pool();
  pool_.join();
  EXPECT_EQ(clock_.asked(), 1);
}

// As at shutdown: a loop goes while its task still waits.
TEST_F(StoresWatchTest, ATaskThatIsDestroyedWhileItWaitsIsForgotten) {
  block_pool();
  {
    IoContext io;
    Report report;
    spawn(io.get_executor(), "test", keep(patient_, report));
    io.poll();
  }
  free_pool();
  EXPECT_TRUE(ask(patient_));
}

}  // namespace
}  // namespace gbgreg::services

#include "records/texts.h"

#include <gtest/gtest.h>

#include "records/recorder.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::records {
namespace {

constexpr WallTime kNow{std::chrono::hours(480'000)};

class TextsTest : public testing::Test {
 protected:
  void away(bool is_away) {
    const auto done = stores_.database->with_connection([&](soci::session& session) -> Result<void> {
      session << (is_away ? "ALTER TABLE gbgreg_request_texts RENAME TO hidden"
                          : "ALTER TABLE hidden RENAME TO gbgreg_request_texts");
      return {};
    });
    ASSERT_TRUE(done);
  }

  storage::TestFolder folder_;
  storage::Disk disk_;
  SystemClock clock_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  storage::RequestTextStore store_{*stores_.database};
  metrics::Registry registry_{1};
  Texts texts_{store_, registry_};
};

TEST(Said, KeepsTheFirstBytesAndNoHalfCharacter) {
  Said said;
  said.add_prompt(std::string(Said::kBytesMax - 1, 'x'));
  said.add_prompt("é and more");
  said.add_prompt("even more");
  EXPECT_EQ(said.prompt.size(), Said::kBytesMax - 1 + std::string_view("even more").substr(0, 1).size());
  EXPECT_TRUE(said.answer.empty());
}

TEST_F(TextsTest, AreWrittenInAnyNumber) {
  for (int i = 0; i < 1'000; ++i) texts_.add(std::to_string(i), {.prompt = "p" + std::to_string(i), .answer = "a\xff"});
  ASSERT_TRUE(texts_.write());
  EXPECT_EQ(store_.find("999")->value().prompt, "p999");
  EXPECT_EQ(store_.find("0")->value().answer, "a\uFFFD");
}

TEST_F(TextsTest, WaitForTheDatabaseAsFarAsThereIsRoomForThem) {
  away(true);
  const std::string large(Said::kBytesMax, 'x');
  const std::size_t held = Texts::kWaitingBytesMax / Said::kBytesMax;
  for (std::size_t i = 0; i < held + 3; ++i) texts_.add(std::to_string(i), {.prompt = large});
  EXPECT_FALSE(texts_.write());
  EXPECT_NE(registry_.prometheus_text().find("gbgreg_record_texts_dropped_total 3"), std::string::npos)
      << registry_.prometheus_text();
  away(false);
  ASSERT_TRUE(texts_.write());
  EXPECT_TRUE(store_.find("0").value() && store_.find(std::to_string(held - 1)).value());
  EXPECT_FALSE(store_.find(std::to_string(held)).value());
  texts_.add("again", {});
  ASSERT_TRUE(texts_.write());
  EXPECT_TRUE(store_.find("again").value());
}

TEST_F(TextsTest, OldOnesGo) {
  using std::chrono::days;
  const std::string old = new_uuid(kNow - days(3)), young = new_uuid(kNow - days(1));
  texts_.add(old, {});
  texts_.add(young, {});
  ASSERT_TRUE(texts_.write());
  ASSERT_TRUE(texts_.forget_before(kNow - days(2)));
  EXPECT_FALSE(store_.find(old).value());
  EXPECT_TRUE(store_.find(young).value());
}

TEST_F(TextsTest, TheRecorderGivesThemTheIdOfTheirRow) {
  auto spool = std::make_unique<Spool>(folder_.path() / "records.spool", disk_, 1024);
  ASSERT_TRUE(spool->open());
  metrics::Registry other(1);
  const RecorderOptions options{.texts_kept = std::chrono::days(1)};
  Recorder recorder(stores_.requests, std::move(spool), other, clock_, "w", options,
                    std::make_unique<Texts>(store_, other));
  EXPECT_TRUE(recorder.keeps_texts());
  recorder.record(0, {.at = clock_.wall(),
                      .row = {.request_id = "r", .route = "POST /x", .status = 200},
                      .said = Said{.prompt = "p", .answer = "a"}});
  recorder.record(0, {.at = clock_.wall(), .row = {.request_id = "silent", .route = "POST /x", .status = 200}});
  recorder.write_now();
  const auto page = stores_.requests.list({});
  ASSERT_TRUE(page);
  ASSERT_EQ(page->requests.size(), 2U);
  for (const storage::RequestRow& row : page->requests) {
    EXPECT_EQ(store_.find(row.id).value().has_value(), row.request_id == "r");
    EXPECT_EQ(stores_.requests.find(row.id).value(), row);
  }
  EXPECT_EQ(stores_.requests.find("nobody").value(), std::nullopt);
}

}  // namespace
}  // namespace gbgreg::records

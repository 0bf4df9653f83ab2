#include "services/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>

#include "core/utf8.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// Noon of a day, until a test moves it; each look at the time is a millisecond later, so that rows are in their order.
struct HandClock final : Clock {
  SteadyTime steady() const override { return SteadyTime{1h} + passed; }
  WallTime wall() const override { return WallTime{std::chrono::days{20'000} + 12h} + passed + ++looks * 1ms; }
  std::chrono::milliseconds passed{0};
  mutable std::atomic<int> looks = 0;
};

Deed deed(std::string name, int status = 200, std::string actor = "01880000-0000-7000-8000-000000000001") {
  return {.actor = std::move(actor), .action = "upload.delete", .target_name = std::move(name), .status = status};
}

class AuditTest : public testing::Test {
 protected:
  void TearDown() override { pool_.join(); }

  void sql(const char* statement) {
    ASSERT_TRUE(stores_.database->with_connection([&](soci::session& session) -> Result<void> {
      session << statement;
      return {};
    }));
  }
  std::vector<std::string> written(const storage::AuditQuery& query = {}) {
    std::vector<std::string> names;
    const auto page = stores_.audit.list(query);
    EXPECT_TRUE(page);
    names.reserve(page->rows.size());
    for (const storage::AuditRow& row : page->rows) names.push_back(row.target_name);
    return names;
  }
  std::string dropped(const std::string& reason) const {
    const std::string text = registry_.prometheus_text(),
                      line = "gbgreg_audit_dropped_total{reason=\"" + reason + "\"} ";
    const std::size_t at = text.find(line) + line.size();
    return text.substr(at, text.find('\n', at) - at);
  }

  HandClock clock_;
  storage::TestFolder folder_;
  storage::Disk disk_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  asio::thread_pool pool_{1};
  metrics::Registry registry_{1};
  Audit audit_{pool_,
               stores_.audit,
               registry_,
               clock_,
               {.waiting_max = 4,
                .batch_max = 3,
                .forget_max = 1'000,
                .done_max = 6,
                .refused_max = 3,
                .kept = std::chrono::days{400}}};
};

TEST_F(AuditTest, WritesWhatIsNotedOnThePool) {
  audit_.note(deed("a"));
  audit_.note(deed("b"));
  pool_.join();
  EXPECT_THAT(written(), ElementsAre("b", "a"));
  EXPECT_EQ(audit_.waiting(), 0U);
}

TEST_F(AuditTest, ARowSaysAllThatIsKnown) {
  const Deed known{.actor = "k",
                   .actor_name = "ada",
                   .peer = "192.0.2.7",
                   .action = "key.revoke",
                   .target_id = "i",
                   .target_name = "bob",
                   .status = 403,
                   .error_code = "admin_only",
                   .request_id = "r"};
  storage::AuditRow row = audit_row(known, WallTime{1'767'225'599'007ms});
  EXPECT_TRUE(is_uuid(row.id));
  row.id = "";
  const storage::AuditRow wanted{.created_at = "2025-12-31T23:59:59.007Z",
                                 .actor = "k",
                                 .actor_name = "ada",
                                 .peer = "192.0.2.7",
                                 .action = "key.revoke",
                                 .target_kind = "key",
                                 .target_id = "i",
                                 .target_name = "bob",
                                 .status = 403,
                                 .error_code = "admin_only",
                                 .request_id = "r"};
  EXPECT_EQ(row, wanted);
}

TEST_F(AuditTest, NoTextIsTooLongOrNoText) {
  const std::string cases[] = {std::string(5'000, 'x'), "ab\xff\xfe", std::string("a\0b", 3),
                               std::string(5'000, '\xff'), std::string(255, 'x') + "\xF0\x9F\x98\x80"};
  for (const std::string& text : cases) {
    const storage::AuditRow row = audit_row({.target_id = text}, clock_.wall());
    EXPECT_LE(row.target_id.size(), kAuditTextBytesMax);
    EXPECT_TRUE(is_valid_utf8(row.target_id));
    EXPECT_EQ(row.target_id.find('\0'), std::string::npos);
    EXPECT_TRUE(stores_.audit.insert(std::span(&row, 1)));
  }
  EXPECT_EQ(audit_row({.target_id = cases[4]}, clock_.wall()).target_id, std::string(255, 'x'));
}

TEST_F(AuditTest, KeepsWhatItCanWhileTheDatabaseIsAwayAndCountsTheRest) {
  sql("ALTER TABLE gbgreg_audit RENAME TO gone");
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) audit_.note(deed(name));
  EXPECT_FALSE(audit_.look());
  EXPECT_EQ(audit_.waiting(), 4U);
  EXPECT_EQ(dropped("no_room"), "2");
  // The look that the first note began is over, or look_soon() would leave it to that one.
  std::promise<void> idle;
  asio::post(pool_, [&idle] { idle.set_value(); });
  idle.get_future().wait();
  sql("ALTER TABLE gone RENAME TO gbgreg_audit");
  audit_.look_soon();
  pool_.join();
  EXPECT_THAT(written(), ElementsAre("d", "c", "b", "a"));
}

TEST_F(AuditTest, StrangersGetAFewRowsAMinuteAndTheNextSaysHowManyCameBetween) {
  for (int i = 0; i < 105; ++i) {
    audit_.note(deed("stranger", 401, ""));
    ASSERT_TRUE(audit_.look());
  }
  audit_.note(deed("known", 403));
  audit_.note(deed("done by nobody", 200, ""));
  ASSERT_TRUE(audit_.look());
  EXPECT_EQ(dropped("strangers"), "100");
  EXPECT_EQ(written({.action = "upload.delete", .actor = ""}).size(), 1U + kStrangersPerMinute);
  EXPECT_EQ(written().size(), 2U + kStrangersPerMinute);
  clock_.passed += 1min;
  for (int i = 0; i < 2; ++i) {
    audit_.note(deed("later", 403, ""));
    ASSERT_TRUE(audit_.look());
  }
  const auto page = stores_.audit.list({.limit = 2});
  EXPECT_EQ(page->rows[0].left_out, 0);
  EXPECT_EQ(page->rows[1].left_out, 100);
}

TEST_F(AuditTest, ForgetsWhatIsTooMuchAndWhatIsTooOld) {
  const auto note = [&](const char* name, int status) {
    audit_.note(deed(name, status));
    ASSERT_TRUE(audit_.look());
  };
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) note(name, 200);
  for (const char* name : {"1", "2", "3", "4", "5"}) note(name, 403);
  clock_.passed += 10min;
  ASSERT_TRUE(audit_.look());
  EXPECT_THAT(written(), ElementsAre("5", "4", "3", "g", "f", "e", "d", "c", "b"));
  clock_.passed += 401 * 24h;
  note("new", 200);
  EXPECT_THAT(written(), ElementsAre("new"));
}

TEST_F(AuditTest, AListHasWhatWasJustNoted) {
  audit_.note(deed("a"));
  std::optional<Result<storage::AuditPage>> page;
  IoContext context;
  const auto read = [](Audit& audit, auto& into) -> Task<void> {
    storage::AuditQuery query;
    into = co_await audit.list(std::move(query));
  };
  spawn(context.get_executor(), "test", read(audit_, page));
  context.run();
  ASSERT_TRUE(page && *page);
  ASSERT_EQ((*page)->rows.size(), 1U);
  EXPECT_EQ((*page)->rows.front().target_name, "a");
}

}  // namespace
}  // namespace gbgreg::services

#include "storage/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// In the order of their numbers.
std::string id_of(int number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  return "01890000-0000-7000-8000-" + digits;
}

AuditRow row(int number, std::int64_t status = 200) {
  return {.id = id_of(number),
          .created_at = "2026-11-30T09:05:07.123Z",
          .actor = "01880000-0000-7000-8000-000000000001",
          .actor_name = "ada",
          .peer = "192.0.2.7",
          .action = "key.create",
          .target_kind = "key",
          .target_id = "01880000-0000-7000-8000-000000000002",
          .target_name = "bob",
          .status = status,
          .error_code = status == 200 ? "" : "admin_only",
          .request_id = "theirs-1",
          .left_out = 3'000'000'000};
}

class AuditStoreTest : public EachDatabase {
 protected:
  void insert(const std::vector<AuditRow>& rows) {
    const auto inserted = store_.insert(rows);
    ASSERT_TRUE(inserted) << inserted.error().message << " " << inserted.error().detail;
  }
  std::vector<std::string> ids(const AuditQuery& query = {}) {
    std::vector<std::string> ids;
    const auto page = store_.list(query);
    EXPECT_TRUE(page) << page.error().message << " " << page.error().detail;
    if (!page) return ids;
    ids.reserve(page->rows.size());
    for (const AuditRow& each : page->rows) ids.push_back(each.id);
    return ids;
  }
  std::int64_t forget(const AuditKept& kept, int most = 1'000) {
    const auto forgotten = store_.forget(kept, most);
    EXPECT_TRUE(forgotten) << forgotten.error().message << " " << forgotten.error().detail;
    return forgotten.value_or(-1);
  }

  TestFolder folder_;
  FailingDisk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
  AuditStore& store_ = stores_.audit;
};

TEST_P(AuditStoreTest, GivesBackEveryColumnAsItCame) {
  insert({row(1)});
  const auto page = store_.list({});
  ASSERT_TRUE(page) << page.error().detail;
  EXPECT_THAT(page->rows, ElementsAre(row(1)));
  EXPECT_EQ(page->next_cursor, std::nullopt);
}

TEST_P(AuditStoreTest, LeavesARowThatIsThereAlready) {
  AuditRow other = row(1);
  other.actor_name = "mallory";
  insert({row(1)});
  insert({other, row(2)});
  EXPECT_THAT(store_.list({})->rows, ElementsAre(row(2), row(1)));
}

TEST_P(AuditStoreTest, ListsNewestFirstInPages) {
  insert({row(3), row(1), row(5), row(2), row(4)});
  const auto first = store_.list({.limit = 2});
  ASSERT_TRUE(first);
  EXPECT_THAT(ids({.limit = 2}), ElementsAre(id_of(5), id_of(4)));
  EXPECT_THAT(ids({.limit = 2, .cursor = *first->next_cursor}), ElementsAre(id_of(3), id_of(2)));
  EXPECT_EQ(store_.list({.limit = 5})->next_cursor, std::nullopt);
  EXPECT_EQ(store_.list({.limit = 0}).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_.list({.limit = AuditStore::kListLimitMax + 1}).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_.list({.cursor = "x"}).error().code, "cursor_malformed");
}

TEST_P(AuditStoreTest, FiltersByActionAndActorAndBoth) {
  AuditRow deleted = row(2), nobody = row(3), both = row(4);
  deleted.action = both.action = "upload.delete";
  nobody.actor = "";
  both.actor = kCommandLine;
  insert({row(1), deleted, nobody, both});
  EXPECT_THAT(ids({.action = "upload.delete"}), ElementsAre(id_of(4), id_of(2)));
  EXPECT_THAT(ids({.actor = row(1).actor}), ElementsAre(id_of(2), id_of(1)));
  EXPECT_THAT(ids({.actor = ""}), ElementsAre(id_of(3)));
  EXPECT_THAT(ids({.action = "upload.delete", .actor = std::string(kCommandLine)}), ElementsAre(id_of(4)));
  EXPECT_THAT(ids({.action = "upload' OR '1'='1"}), IsEmpty());
}

TEST_P(AuditStoreTest, ForgetsTheOldestOfEachSortAndSoNothingDoneForWhatWasRefused) {
  insert({row(1), row(2), row(3), row(4, 401), row(5, 403), row(6, 403), row(7, 403), row(8, 499), row(9, 503)});
  EXPECT_EQ(forget({.done = 4, .refused = 2}), 3);
  EXPECT_THAT(ids(), ElementsAre(id_of(9), id_of(8), id_of(7), id_of(6), id_of(3), id_of(2)));
  EXPECT_EQ(forget({.done = 4, .refused = 2}), 0);
}

TEST_P(AuditStoreTest, ForgetsWhatIsOldAndNoMoreAtOnceThanItMay) {
  insert({row(1), row(2), row(3), row(4, 401), row(5)});
  const AuditKept kept{.done = 100, .refused = 100, .id_from = id_of(5)};
  EXPECT_EQ(forget(kept, 2), 3);
  EXPECT_THAT(ids(), ElementsAre(id_of(5), id_of(3)));
  EXPECT_EQ(forget(kept, 2), 1);
  EXPECT_EQ(forget(kept, 2), 0);
  EXPECT_THAT(ids(), ElementsAre(id_of(5)));
}

GBGREG_ON_EACH_DATABASE(AuditStoreTest);

}  // namespace
}  // namespace gbgreg::storage

#include "storage/uploads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/migrations.h"

namespace gbgreg::storage {
namespace {

class UploadStoreTest : public EachDatabase {
 protected:
  UploadStoreTest() {
    const Options options{.database_url = new_database(GetParam(), folder_.path()), .uploads_folder = {}};
    database_ = std::move(Database::open(options).value());
    EXPECT_TRUE(migrate(*database_, SystemClock{}));
    store_ = std::make_unique<UploadStore>(*database_, options.list_limit_max);
  }

  // The nth upload, a millisecond after the one before.
  Upload upload(int nth, char digest_digit = 'a') {
    const WallTime time{std::chrono::milliseconds{1'700'000'000'000 + nth}};
    return {.id = new_uuid(time),
            .filename = "file" + std::to_string(nth) + ".txt",
            .original_filename = "C:\\file" + std::to_string(nth) + ".txt",
            .kind = "text",
            .media_type = "text/plain",
            .size_bytes = 100,
            .sha256 = std::string(64, digest_digit),
            .created_at = rfc3339(time)};
  }

  std::vector<std::string> ids(const UploadQuery& query) {
    std::vector<std::string> ids;
    for (const Upload& found : store_->list(query).value().uploads) ids.push_back(found.id);
    return ids;
  }

  TestFolder folder_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<UploadStore> store_;
};

TEST_P(UploadStoreTest, GivesBackEveryColumnAsItCame) {
  Upload full = upload(1);
  full.filename = "naïve 'quote\" ; DROP TABLE gbgreg_uploads; --.txt";
  full.language = "C++";
  full.description = "für \xF0\x9F\x98\x80";
  full.text_preview = "line one\nline two\t\x01";
  full.size_bytes = 5'000'000'000;
  full.purpose = "batch";
  EXPECT_EQ(store_->insert(full).value(), full);
  EXPECT_EQ(store_->find(full.id).value(), full);

  const Upload plain = upload(2, 'b');
  EXPECT_EQ(store_->insert(plain).value(), plain);
  EXPECT_EQ(store_->find(plain.id).value(), plain);
}

TEST_P(UploadStoreTest, AnUnknownIdIsNotFound) {
  EXPECT_EQ(store_->find("nothing").error().code, "upload_not_found");
  EXPECT_EQ(store_->remove("' OR 1=1 --").error().code, "upload_not_found");
}

TEST_P(UploadStoreTest, TheSameIdTwiceIsAnErrorAndKeepsTheFirst) {
  const Upload first = upload(1);
  ASSERT_TRUE(store_->insert(first));
  EXPECT_FALSE(store_->insert(first));
  EXPECT_EQ(store_->find(first.id).value(), first);
}

TEST_P(UploadStoreTest, SameBytesAreDuplicatesOfTheFirst) {
  const Upload first = store_->insert(upload(1)).value();
  const Upload second = store_->insert(upload(2)).value();
  const Upload third = store_->insert(upload(3)).value();
  EXPECT_EQ(first.duplicate_of, std::nullopt);
  EXPECT_EQ(second.duplicate_of, first.id);
  EXPECT_EQ(third.duplicate_of, first.id);
  EXPECT_EQ(store_->insert(upload(4, 'b')).value().duplicate_of, std::nullopt);
}

TEST_P(UploadStoreTest, WhenTheFirstGoesTheNextTakesItsPlace) {
  const Upload first = store_->insert(upload(1)).value();
  const Upload second = store_->insert(upload(2)).value();
  const Upload third = store_->insert(upload(3)).value();

  const auto removed = store_->remove(first.id).value();
  EXPECT_EQ(removed.sha256, first.sha256);
  EXPECT_TRUE(removed.bytes_still_used);
  EXPECT_EQ(store_->find(second.id).value().duplicate_of, std::nullopt);
  EXPECT_EQ(store_->find(third.id).value().duplicate_of, second.id);

  EXPECT_TRUE(store_->remove(third.id).value().bytes_still_used);
  EXPECT_FALSE(store_->remove(second.id).value().bytes_still_used);
}

TEST_P(UploadStoreTest, ADuplicateThatSortsBeforeItsFirstIsStillADuplicate) {
  const Upload first = store_->insert(upload(5)).value();
  const Upload second = store_->insert(upload(1)).value();  // A clock that went back.
  EXPECT_EQ(second.duplicate_of, first.id);
  ASSERT_TRUE(store_->remove(second.id));
  EXPECT_EQ(store_->find(first.id).value().duplicate_of, std::nullopt);
}

TEST_P(UploadStoreTest, PagesNewestFirstAndEachRowOnce) {
  std::vector<std::string> newest_first;
  for (int i = 0; i < 7; ++i) newest_first.insert(newest_first.begin(), store_->insert(upload(i)).value().id);

  std::vector<std::string> seen;
  UploadQuery query{.limit = 3};
  int pages = 0;
  for (;; ++pages) {
    const auto page = store_->list(query).value();
    for (const Upload& found : page.uploads) seen.push_back(found.id);
    if (!page.next_cursor) break;
    query.cursor = *page.next_cursor;
    // A new upload between two pages moves nothing.
    ASSERT_TRUE(store_->insert(upload(100 + pages)));
  }
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(seen, newest_first);
}

TEST_P(UploadStoreTest, PagesOldestFirstToo) {
  std::vector<std::string> oldest_first;
  oldest_first.reserve(5);
  for (int i = 0; i < 5; ++i) oldest_first.push_back(store_->insert(upload(i)).value().id);
  std::vector<std::string> seen;
  UploadQuery query{.limit = 2, .order = UploadOrder::oldest_first};
  for (;;) {
    const auto page = store_->list(query).value();
    for (const Upload& found : page.uploads) seen.push_back(found.id);
    if (!page.next_cursor) break;
    query.cursor = *page.next_cursor;
  }
  EXPECT_EQ(seen, oldest_first);
}

TEST_P(UploadStoreTest, APageMayFollowAnIdThatHasGoneMeanwhile) {
  std::vector<std::string> all;
  all.reserve(4);
  for (int i = 0; i < 4; ++i) all.push_back(store_->insert(upload(i)).value().id);
  ASSERT_TRUE(store_->remove(all[2]));
  EXPECT_EQ(ids({.after = all[2]}), (std::vector{all[1], all[0]}));
  EXPECT_EQ(ids({.after = all[2], .order = UploadOrder::oldest_first}), std::vector{all[3]});
  EXPECT_EQ(ids({.limit = 1, .after = all[2]}), std::vector{all[1]});
}

TEST_P(UploadStoreTest, AFullLastPageHasNoNext) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store_->insert(upload(i)));
  EXPECT_EQ(store_->list({.limit = 3}).value().next_cursor, std::nullopt);
  EXPECT_NE(store_->list({.limit = 2}).value().next_cursor, std::nullopt);
}

TEST_P(UploadStoreTest, RefusesCursorsAndLimitsThatItDidNotGive) {
  for (const std::string cursor : {"x", "u1", "u10193e2a47c1b7d3e9f001a2b3c4d5e6", "u20193e2a47c1b7d3e9f001a2b3c4d5e6f",
                                   "u1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "u1' OR '1'='1' -- aaaaaaaaaaaaaaaaa"}) {
    SCOPED_TRACE(cursor);
    EXPECT_EQ(store_->list({.cursor = cursor}).error().code, "cursor_malformed");
  }
  EXPECT_EQ(store_->list({.limit = 0}).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_->list({.limit = 201}).error().kind, Kind::malformed);
}

TEST_P(UploadStoreTest, FiltersByKindAndByWords) {
  Upload picture = upload(1);
  picture.kind = "image";
  picture.filename = "Holiday_100%.png";
  Upload note = upload(2);
  note.description = "from the holiday";
  Upload other = upload(3);
  other.purpose = "vision";
  for (const Upload& each : {picture, note, other}) ASSERT_TRUE(store_->insert(each));

  EXPECT_EQ(ids({.kind = "image"}), std::vector{picture.id});
  EXPECT_EQ(ids({.purpose = "vision"}), std::vector{other.id});
  EXPECT_EQ(ids({.purpose = "user_data"}), (std::vector{note.id, picture.id}));
  EXPECT_EQ(ids({.purpose = "user_data", .kind = "image"}), std::vector{picture.id});
  EXPECT_EQ(ids({.q = "HOLIDAY"}), (std::vector{note.id, picture.id}));
  EXPECT_EQ(ids({.kind = "text", .q = "holiday"}), std::vector{note.id});
  EXPECT_EQ(ids({.q = "y_1"}), std::vector{picture.id});
  EXPECT_EQ(ids({.q = "100%"}), std::vector{picture.id});
  EXPECT_EQ(ids({.q = "_____________________"}), std::vector<std::string>{});
  EXPECT_EQ(ids({.q = "!"}), std::vector<std::string>{});
  EXPECT_EQ(ids({.q = "c:\\file3"}), std::vector{other.id});
}

TEST_P(UploadStoreTest, FindsWordsWhateverTheLanguageOfTheDatabase) {
  Upload german = upload(1);
  german.description = "ÜBERSICHT";
  ASSERT_TRUE(store_->insert(german));
  EXPECT_EQ(ids({.q = "ÜBERsicht"}), std::vector{german.id});
  EXPECT_EQ(ids({.q = "übersicht"}), std::vector<std::string>{}) << "only letters of ASCII have two cases";
}

// Each asks whether there are such bytes already and then writes, which no other may do in between.
TEST_P(UploadStoreTest, OfTheSameBytesAtOnceOneIsTheOriginal) {
  constexpr int kThreads = 4, kEach = 10;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this, thread] {
      for (int i = 0; i < kEach; ++i) EXPECT_TRUE(store_->insert(upload(thread * kEach + i)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto page = store_->list({.limit = kThreads * kEach}).value();
  ASSERT_EQ(page.uploads.size(), static_cast<std::size_t>(kThreads * kEach));
  const auto originals = std::ranges::count_if(page.uploads, [](const Upload& each) { return !each.duplicate_of; });
  EXPECT_EQ(originals, 1);
}

TEST_P(UploadStoreTest, KnowsWhichDigestsAreInUse) {
  ASSERT_TRUE(store_->insert(upload(1, 'a')));
  ASSERT_TRUE(store_->insert(upload(2, 'a')));
  ASSERT_TRUE(store_->insert(upload(3, 'f')));
  EXPECT_EQ(store_->digests("aa").value(), (std::set<std::string>{std::string(64, 'a')}));
  EXPECT_EQ(store_->digests("ff").value(), (std::set<std::string>{std::string(64, 'f')}));
  EXPECT_TRUE(store_->digests("ab").value().empty());
  EXPECT_TRUE(store_->uses(std::string(64, 'a')).value());
  EXPECT_FALSE(store_->uses(std::string(64, 'b')).value());
}

GBGREG_ON_EACH_DATABASE(UploadStoreTest);

}  // namespace
}  // namespace gbgreg::storage

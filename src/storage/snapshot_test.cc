#include "storage/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/ids.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class SnapshotTest : public EachDatabase {
 protected:
  Upload insert(const std::string& sha256, std::uint64_t size_bytes, const std::string& name = "a.txt") {
    Upload upload{.id = new_uuid(clock_.wall()),
                  .filename = name,
                  .original_filename = name,
                  .kind = "text",
                  .media_type = "text/plain",
                  .size_bytes = size_bytes,
                  .sha256 = sha256,
                  .created_at = "t"};
    return stores_.uploads.insert(std::move(upload)).value();
  }
  auto take() { return Snapshot::take(stores_.options.database_url, copy_, clock_); }
  static std::string digest(char digit) { return std::string(64, digit); }

  TestFolder folder_;
  SystemClock clock_;
  FailingDisk disk_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
  std::filesystem::path copy_ = folder_.path() / "copy.db";
};

TEST_P(SnapshotTest, HasWhatWasCommittedAndNothingThatComesLater) {
  const Upload first = insert(digest('a'), 7, "first.txt");
  insert(digest('a'), 8);
  auto snapshot = take();
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  insert(digest('b'), 1);
  EXPECT_THAT(*(*snapshot)->digests("aa"), ElementsAre(digest('a')));
  EXPECT_TRUE((*snapshot)->digests("bb")->empty());
  const auto sizes = (*snapshot)->sizes("aa");
  ASSERT_TRUE(sizes) << sizes.error().detail;
  EXPECT_EQ(sizes->at(digest('a')).smallest, 7U);
  EXPECT_EQ(sizes->at(digest('a')).largest, 8U);
  EXPECT_THAT(*(*snapshot)->names_of(digest('a')),
              UnorderedElementsAre("first.txt (upload " + first.id + ")", HasSubstr("a.txt (upload ")));
}

TEST_P(SnapshotTest, LeavesNothingBehindUnlessItIsToStay) {
  insert(digest('a'), 7);
  ASSERT_TRUE(take());
  for (const char* suffix : {"", "-wal", "-shm"}) EXPECT_FALSE(std::filesystem::exists(copy_.string() + suffix));
  auto kept = take();
  ASSERT_TRUE(kept);
  (*kept)->release();
  EXPECT_TRUE(std::filesystem::exists(copy_));
  EXPECT_FALSE(std::filesystem::exists(copy_.string() + "-wal"));
  EXPECT_EQ(std::filesystem::status(copy_).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(take().error().code, "storage_failed") << "what is there is somebody else's";
}

TEST_P(SnapshotTest, OfWhatNobodyHasUsedThereIsNone) {
  const TestFolder elsewhere;
  EXPECT_EQ(Snapshot::take(new_database(GetParam(), elsewhere.path()), copy_, clock_).error().code, "database_missing");
  EXPECT_FALSE(std::filesystem::exists(copy_));
}

TEST_P(SnapshotTest, WhatIsNoDatabaseOrNotThereIsSaidSo) {
  EXPECT_EQ(copy_database(folder_.path() / "none.db", copy_).error().code, "database_missing");
  std::ofstream(folder_.path() / "broken.db") << std::string(5000, 'x');
  EXPECT_EQ(copy_database(folder_.path() / "broken.db", copy_).error().code, "database_corrupt");
  EXPECT_FALSE(std::filesystem::exists(copy_));
}

GBGREG_ON_EACH_DATABASE(SnapshotTest);

}  // namespace
}  // namespace gbgreg::storage

#include "storage/reserve.h"

#include <gtest/gtest.h>

#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

TEST(Reserve, IsHeldReleasedAndHeldAgain) {
  const TestFolder folder;
  const auto path = folder.path() / "reserve";
  Disk disk;
  Reserve reserve(path, disk);
  reserve.hold();
  reserve.hold();
  EXPECT_EQ(std::filesystem::file_size(path), kReserveBytes);
  EXPECT_TRUE(reserve.release());
  EXPECT_FALSE(reserve.release());
  EXPECT_FALSE(std::filesystem::exists(path));
  {
    const ReserveKeeper keeper(reserve);
  }
  EXPECT_EQ(std::filesystem::file_size(path), kReserveBytes);
  // The next process finds it, may give it up, and makes it its own.
  EXPECT_TRUE(Reserve(path, disk).release());
  Reserve next(path, disk);
  next.hold();
  EXPECT_EQ(std::filesystem::file_size(path), kReserveBytes);
}

TEST(Reserve, IsTakenAgainByTheLastOfItsKeepers) {
  const TestFolder folder;
  const auto path = folder.path() / "reserve";
  Disk disk;
  Reserve reserve(path, disk);
  reserve.hold();
  {
    const ReserveKeeper working(reserve);
    {
      const ReserveKeeper done_already(reserve);
      EXPECT_TRUE(reserve.release());
    }
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(Reserve, LeavesNothingOfItselfOnADiskThatIsFull) {
  const TestFolder folder;
  const auto path = folder.path() / "reserve";
  FailingDisk disk;
  Reserve reserve(path, disk);
  for (const int call : {1, 2, 3, 18}) {  // To create, to write first and later, to sync.
    disk.fail_call(call, ENOSPC, true);
    reserve.hold();
    EXPECT_TRUE(disk.has_failed()) << call;
    EXPECT_FALSE(std::filesystem::exists(path)) << call;
    disk.heal();
  }
  reserve.hold();
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(Reserve, OfADatabaseThatIsElsewhereThereIsNone) {
  const TestFolder folder;
  Disk disk;
  const auto path = folder.path() / "reserve";
  Reserve(path, disk).hold();  // As a run before it did, on SQLite.
  Reserve reserve(path, disk, Reserve::Wanted::no);
  reserve.hold();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(reserve.release());
}

TEST(MayLackRoom, IsTrueOfEveryFailureOfTheStorageButNotOfOthers) {
  for (const char* code : {"storage_full", "storage_failed"})
    EXPECT_TRUE(may_lack_room({.code = code, .message = {}})) << code;
  for (const char* code : {"database_busy", "database_failed", "upload_not_found", "schema_newer"}) {
    EXPECT_FALSE(may_lack_room({.code = code, .message = {}})) << code;
  }
}

}  // namespace
}  // namespace gbgreg::storage

#include "storage/open.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/core.h"
#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

class OpenDatabaseTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Database>> open(const std::filesystem::path& path) {
    const Options options{.database_url = "sqlite://" + path.string(), .uploads_folder = {}, .database_connections = 1};
    return open_database(options, SystemClock{}, reserve_);
  }

  TestFolder folder_;
  Disk disk_;
  std::filesystem::path reserve_path_ = folder_.path() / "reserve";
  Reserve reserve_{reserve_path_, disk_};
};

TEST_F(OpenDatabaseTest, LeavesTheReserveAloneWhenThereIsRoom) {
  reserve_.hold();
  const auto database = open(folder_.path() / "x.db");
  ASSERT_TRUE(database);
  EXPECT_TRUE((*database)->check());
  EXPECT_TRUE(std::filesystem::exists(reserve_path_));
}

// The reserve lies where the database should be, so that only giving it up lets the second try succeed.
TEST_F(OpenDatabaseTest, GivesTheReserveUpAndTriesOnceMore) {
  reserve_.hold();
  const auto database = open(reserve_path_);
  ASSERT_TRUE(database) << database.error().detail;
  EXPECT_TRUE((*database)->check());
}

TEST_F(OpenDatabaseTest, WithoutAReserveTheFirstErrorStands) {
  std::ofstream(folder_.path() / "x.db") << "no database, and long enough to be taken for none";
  const auto database = open(folder_.path() / "x.db");
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, "storage_failed");
  EXPECT_FALSE(std::filesystem::exists(reserve_path_));
}

TEST_F(OpenDatabaseTest, AReserveThatDidNotHelpIsTakenAgain) {
  reserve_.hold();
  std::ofstream(folder_.path() / "x.db") << "no database, and long enough to be taken for none";
  EXPECT_EQ(open(folder_.path() / "x.db").error().code, "storage_failed");
  EXPECT_TRUE(std::filesystem::exists(reserve_path_));
}

TEST_F(OpenDatabaseTest, ADatabaseOfANewerProgramCostsNoReserve) {
  reserve_.hold();
  {
    auto database = open(folder_.path() / "x.db");
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->with_connection([](soci::session& session) -> Result<void> {
      session << "INSERT INTO gbgreg_schema_migrations VALUES (999, 'later', 'then')";
      return {};
    }));
  }
  EXPECT_EQ(open(folder_.path() / "x.db").error().code, "schema_newer");
  EXPECT_TRUE(std::filesystem::exists(reserve_path_));
}

}  // namespace
}  // namespace gbgreg::storage

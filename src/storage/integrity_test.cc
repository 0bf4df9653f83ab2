#include "storage/integrity.h"

#include <gmock/gmock.h>
#include <sqlite3.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace gbgreg::storage {
namespace {

constexpr std::chrono::milliseconds kLong{10'000};

class IntegrityTest : public ::testing::Test {
 protected:
  IntegrityTest() {
    std::string name = (std::filesystem::temp_directory_path() / "gbgreg-integrity-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    file_ = folder_ / "gbgreg.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void fill(int rows) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &database), SQLITE_OK);
    std::string sql = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t (b); BEGIN;";
    for (int row = 0; row < rows; ++row) sql += "INSERT INTO t (b) VALUES ('" + std::string(200, 'x') + "');";
    EXPECT_EQ(sqlite3_exec(database, (sql + "COMMIT;").c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
  }
  std::string code() {
    const auto found = check_integrity(file_, kLong);
    return found ? "" : found.error().code;
  }

  std::filesystem::path folder_, file_;
};

TEST_F(IntegrityTest, OfWhatIsNotThereYetIsWell) {
  EXPECT_EQ(code(), "");
  std::ofstream(file_).flush();
  EXPECT_EQ(code(), "");
}

TEST_F(IntegrityTest, OfADatabaseIsWellAndLeavesNothingBehind) {
  fill(500);
  EXPECT_EQ(code(), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(IntegrityTest, OfOtherBytesIsNot) {
  std::ofstream(file_) << "not a database at all, and longer than a header of one has to be: " << std::string(200, '.');
  EXPECT_EQ(code(), "database_corrupt");
}

// Only its first page is what it was.
TEST_F(IntegrityTest, OfADamagedOneIsNot) {
  fill(2000);
  std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(64UL * 1024, '\x5a');
  file.close();
  EXPECT_EQ(code(), "database_corrupt");
}

TEST_F(IntegrityTest, OfOneThatWasCutShortIsNot) {
  fill(2000);
  std::filesystem::resize_file(file_, std::filesystem::file_size(file_) / 2);
  EXPECT_EQ(code(), "database_corrupt");
}

TEST_F(IntegrityTest, OfAFolderInItsPlaceIsNot) {
  std::filesystem::create_directory(file_);
  EXPECT_EQ(code(), "database_unreadable");
}

TEST_F(IntegrityTest, TakesNoLongerThanItMay) {
  fill(20'000);
  EXPECT_TRUE(check_integrity(file_, std::chrono::milliseconds{0})) << "what was not seen counts as well";
}

}  // namespace
}  // namespace gbgreg::storage

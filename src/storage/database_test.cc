#include "storage/database.h"

#include <gtest/gtest.h>

#include <fstream>

#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "a b" / "gbgreg.db"; }
  Options options() const {
    return {.database_url = "sqlite://" + path().string(),
            .uploads_folder = {},
            .database_connections = 2,
            .database_busy_timeout = std::chrono::milliseconds(10)};
  }
  void SetUp() override { std::filesystem::create_directory(folder_.path() / "a b"); }

  TestFolder folder_;
};

std::string text(Database& database, const std::string& sql) {
  return database
      .with_connection([&](soci::session& session) -> Result<std::string> {
        std::string value;
        session << sql, soci::into(value);
        return value;
      })
      .value();
}

Result<void> run(Database& database, const std::string& sql) {
  return database.with_connection([&](soci::session& session) -> Result<void> {
    session << sql;
    return {};
  });
}

TEST_F(DatabaseTest, IsDurableAndLetsReadersGoOn) {
  auto database = std::move(Database::open(options()).value());
  EXPECT_EQ(text(*database, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(text(*database, "PRAGMA synchronous"), "2");
  EXPECT_EQ(text(*database, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(text(*database, "PRAGMA busy_timeout"), "10");
}

TEST_F(DatabaseTest, RefusesUrlsThatItDoesNotSpeak) {
  for (const std::string url : {"", "sqlite", "sqlite://", "sqlite:///", "sqlite://relative.db", "mysql://x/y",
                                "/var/lib/x.db", "sqlite:///a\"b"}) {
    SCOPED_TRACE(url);
    Options with_url = options();
    with_url.database_url = url;
    EXPECT_EQ(Database::open(with_url).error().code, "database_url");
  }
}

TEST_F(DatabaseTest, AFolderThatIsNotThereIsUnavailable) {
  Options elsewhere = options();
  elsewhere.database_url = "sqlite:///proc/no/such/folder/x.db";
  EXPECT_EQ(Database::open(elsewhere).error().code, "storage_failed");
}

TEST_F(DatabaseTest, AFileThatIsNoDatabaseIsUnavailableAndStaysAsItIs) {
  std::ofstream(path()) << "I am a diary, and not a database at all.";
  const auto database = Database::open(options());
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().kind, Kind::unavailable);
  EXPECT_EQ(std::filesystem::file_size(path()), 40U);
}

TEST_F(DatabaseTest, AFailedTransactionLeavesNothingAndTheConnectionIsUsable) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer PRIMARY KEY)"));
  for (int round = 0; round < 4; ++round) {
    const auto refused = database->in_transaction([](soci::session& session) -> Result<void> {
      session << "INSERT INTO t VALUES (1)";
      return fail(Kind::refused, "changed_my_mind", "No.");
    });
    EXPECT_EQ(refused.error().code, "changed_my_mind");
    const auto broken = database->in_transaction([](soci::session& session) -> Result<void> {
      session << "INSERT INTO t VALUES (1)";
      session << "INSERT INTO t VALUES (1)";
      return {};
    });
    EXPECT_EQ(broken.error().code, "database_failed");
    EXPECT_EQ(broken.error().kind, Kind::internal);
  }
  EXPECT_EQ(text(*database, "SELECT count(*) FROM t"), "0");
}

TEST_F(DatabaseTest, AnErrorShowsNoSqlToTheClient) {
  auto database = std::move(Database::open(options()).value());
  const auto broken = run(*database, "SELECT secrets FROM nowhere");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message.find("nowhere"), std::string::npos);
  EXPECT_NE(broken.error().detail.find("nowhere"), std::string::npos);
}

TEST_F(DatabaseTest, AMistakeOfOursIsNotTakenForADatabaseThatIsAway) {
  auto database = std::move(Database::open(options()).value());
  const auto broken = database->with_connection([](soci::session& session) -> Result<int> {
    int number = 0;
    session << "SELECT NULL", soci::into(number);  // SOCI wants to be told where a NULL may be.
    return number;
  });
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().kind, Kind::internal);
  EXPECT_EQ(broken.error().code, "database_failed");
}

TEST_F(DatabaseTest, ALockedDatabaseIsBusyAndNotBroken) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer)"));
  const auto outer = database->in_transaction([&](soci::session&) -> Result<void> {
    const auto inner = database->in_transaction([](soci::session&) -> Result<void> { return {}; });
    EXPECT_EQ(inner.error().code, "database_busy");
    EXPECT_EQ(inner.error().retry_after_seconds, 1);
    return {};
  });
  EXPECT_TRUE(outer);
}

TEST_F(DatabaseTest, AFullDatabaseSaysSoAndRecovers) {
  auto database = std::move(
      Database::open({.database_url = options().database_url, .uploads_folder = {}, .database_connections = 1})
          .value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a text)"));
  ASSERT_TRUE(run(*database, "PRAGMA max_page_count = 4"));
  auto insert = [](soci::session& session) -> Result<void> {
    session << "INSERT INTO t VALUES (hex(zeroblob(100000)))";
    return {};
  };
  EXPECT_EQ(database->in_transaction(insert).error().code, "storage_full");
  ASSERT_TRUE(run(*database, "PRAGMA max_page_count = 1000000"));
  EXPECT_TRUE(database->in_transaction(insert));
}

}  // namespace
}  // namespace gbgreg::storage

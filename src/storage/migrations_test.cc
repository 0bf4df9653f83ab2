#include "storage/migrations.h"

#include <gtest/gtest.h>

#include <thread>

#include "storage/each_database.h"
#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

struct FixedClock final : Clock {
  SteadyTime steady() const override { return {}; }
  WallTime wall() const override { return WallTime{std::chrono::milliseconds{1'767'225'599'007}}; }
};
const FixedClock kClock;

class MigrationsTest : public EachDatabase {
 protected:
  MigrationsTest() {
    const Options options{.database_url = url_, .uploads_folder = {}};
    database_ = std::move(Database::open(options).value());
  }

  std::string text(const std::string& sql) {
    return database_
        ->with_connection([&](soci::session& session) -> Result<std::string> {
          std::string value = "(nothing)";
          session << sql, soci::into(value);
          return value;
        })
        .value_or("(error)");
  }

  std::vector<std::string> tables() {
    return database_
        ->with_connection([&](soci::session& session) -> Result<std::vector<std::string>> {
          return database_->dialect().tables(session);
        })
        .value();
  }

  TestFolder folder_;
  std::string url_ = new_database(GetParam(), folder_.path());
  std::unique_ptr<Database> database_;
};

constexpr std::string_view kOne[] = {"CREATE TABLE one (a integer)"};
constexpr std::string_view kTwo[] = {"ALTER TABLE one ADD COLUMN b integer", "CREATE TABLE two (a integer)"};
constexpr std::string_view kBroken[] = {"CREATE TABLE three (a integer)", "CREATE TABLE three (a integer)"};
constexpr Migration kUpToThree[] = {{1, "one", kOne}, {2, "two", kTwo}, {3, "broken", kBroken}};

TEST_P(MigrationsTest, MakesTheTablesOfThisProgramAndRemembersWhen) {
  ASSERT_TRUE(migrate(*database_, kClock));
  EXPECT_EQ(text("SELECT count(*) FROM gbgreg_uploads"), "0");
  EXPECT_EQ(text("SELECT name FROM gbgreg_schema_migrations WHERE version = 1"), "uploads");
  EXPECT_EQ(text("SELECT applied_at FROM gbgreg_schema_migrations WHERE version = 1"), "2025-12-31T23:59:59.007Z");
}

TEST_P(MigrationsTest, UploadsFromBeforeThereWerePurposesGetOne) {
  ASSERT_TRUE(migrate(*database_, kClock, known_migrations().first(1)));
  ASSERT_TRUE(database_->with_connection([](soci::session& session) -> Result<void> {
    session << "INSERT INTO gbgreg_uploads VALUES ('i', 'f', 'o', 'text', 'm', NULL, 1, 's', NULL, NULL, NULL, 'c')";
    return {};
  }));
  ASSERT_TRUE(migrate(*database_, kClock));
  EXPECT_EQ(text("SELECT purpose FROM gbgreg_uploads WHERE id = 'i'"), "user_data");
}

TEST_P(MigrationsTest, DoesNothingTheSecondTime) {
  ASSERT_TRUE(migrate(*database_, kClock));
  ASSERT_TRUE(migrate(*database_, kClock));
  EXPECT_EQ(text("SELECT count(*) FROM gbgreg_schema_migrations"), std::to_string(known_migrations().size()));
}

TEST_P(MigrationsTest, AppliesOnlyWhatIsMissing) {
  ASSERT_TRUE(migrate(*database_, kClock, std::span(kUpToThree).first(1)));
  ASSERT_TRUE(migrate(*database_, kClock, std::span(kUpToThree).first(2)));
  EXPECT_EQ(text("SELECT count(b) FROM one"), "0");
  EXPECT_EQ(text("SELECT max(version) FROM gbgreg_schema_migrations"), "2");
}

TEST_P(MigrationsTest, LeavesEverythingAsItWasWhenOneFails) {
  EXPECT_FALSE(migrate(*database_, kClock, kUpToThree));
  EXPECT_EQ(tables(), std::vector<std::string>{});
  EXPECT_EQ(text("SELECT count(*) FROM one"), "(error)");
}

TEST_P(MigrationsTest, RefusesADatabaseOfANewerProgram) {
  ASSERT_TRUE(migrate(*database_, kClock, std::span(kUpToThree).first(2)));
  const auto refused = migrate(*database_, kClock, std::span(kUpToThree).first(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "schema_newer");
  EXPECT_NE(refused.error().message.find("version 2"), std::string::npos);
}

TEST_P(MigrationsTest, SayFromWhereToWhereTheyWent) {
  EXPECT_EQ(schema_version(*database_).value(), 0);
  const auto first = migrate(*database_, kClock, std::span(kUpToThree).first(1));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->from, 0);
  EXPECT_EQ(first->to, 1);
  EXPECT_EQ(migrate(*database_, kClock, std::span(kUpToThree).first(2))->from, 1);
  EXPECT_EQ(schema_version(*database_).value(), 2);
}

// Each has connections of its own, as two gateways on one database have.
TEST_P(MigrationsTest, OfTwoAtOnceTheSecondFindsNothingMissing) {
  Options options{.database_url = url_, .uploads_folder = {}, .database_connections = 1};
  auto other = std::move(Database::open(options).value());
  std::thread second([&] { EXPECT_TRUE(migrate(*other, kClock)); });
  EXPECT_TRUE(migrate(*database_, kClock));
  second.join();
  EXPECT_EQ(text("SELECT count(*) FROM gbgreg_schema_migrations"), std::to_string(known_migrations().size()));
}

// What copies tables relies on it, and what cuts them into pages.
TEST_P(MigrationsTest, MakeTablesWithAPrimaryKey) {
  ASSERT_TRUE(migrate(*database_, kClock));
  ASSERT_GT(tables().size(), 4U);
  for (const std::string& table : tables()) {
    SCOPED_TRACE(table);
    ASSERT_TRUE(database_->with_connection([&](soci::session& session) -> Result<void> {
      EXPECT_FALSE(database_->dialect().primary_key(session, table).empty());
      EXPECT_FALSE(database_->dialect().columns(session, table).empty());
      return {};
    }));
  }
}

TEST(KnownMigrations, AreNumberedUpwards) {
  int version = 0;
  for (const Migration& migration : known_migrations()) {
    EXPECT_GT(migration.version, version);
    version = migration.version;
  }
}

GBGREG_ON_EACH_DATABASE(MigrationsTest);

}  // namespace
}  // namespace gbgreg::storage

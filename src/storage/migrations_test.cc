#include "storage/migrations.h"

#include <gtest/gtest.h>

#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

struct FixedClock final : Clock {
  SteadyTime steady() const override { return {}; }
  WallTime wall() const override { return WallTime{std::chrono::milliseconds{1'767'225'599'007}}; }
};
const FixedClock kClock;

class MigrationsTest : public testing::Test {
 protected:
  MigrationsTest() {
    const Options options{.database_url = "sqlite://" + (folder_.path() / "x.db").string(), .uploads_folder = {}};
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

  TestFolder folder_;
  std::unique_ptr<Database> database_;
};

constexpr std::string_view kOne[] = {"CREATE TABLE one (a integer)"};
constexpr std::string_view kTwo[] = {"ALTER TABLE one ADD COLUMN b integer", "CREATE TABLE two (a integer)"};
constexpr std::string_view kBroken[] = {"CREATE TABLE three (a integer)", "CREATE TABLE three (a integer)"};
constexpr Migration kUpToThree[] = {{1, "one", kOne}, {2, "two", kTwo}, {3, "broken", kBroken}};

TEST_F(MigrationsTest, MakesTheTablesOfThisProgramAndRemembersWhen) {
  ASSERT_TRUE(migrate(*database_, kClock));
  EXPECT_EQ(text("SELECT count(*) FROM gbgreg_uploads"), "0");
  EXPECT_EQ(text("SELECT name FROM gbgreg_schema_migrations WHERE version = 1"), "uploads");
  EXPECT_EQ(text("SELECT applied_at FROM gbgreg_schema_migrations WHERE version = 1"), "2025-12-31T23:59:59.007Z");
}

TEST_F(MigrationsTest, UploadsFromBeforeThereWerePurposesGetOne) {
  ASSERT_TRUE(migrate(*database_, kClock, known_migrations().first(1)));
  ASSERT_TRUE(database_->with_connection([](soci::session& session) -> Result<void> {
    session << "INSERT INTO gbgreg_uploads VALUES ('i', 'f', 'o', 'text', 'm', NULL, 1, 's', NULL, NULL, NULL, 'c')";
    return {};
  }));
  ASSERT_TRUE(migrate(*database_, kClock));
  EXPECT_EQ(text("SELECT purpose FROM gbgreg_uploads WHERE id = 'i'"), "user_data");
}

TEST_F(MigrationsTest, DoesNothingTheSecondTime) {
  ASSERT_TRUE(migrate(*database_, kClock));
  ASSERT_TRUE(migrate(*database_, kClock));
  EXPECT_EQ(text("SELECT count(*) FROM gbgreg_schema_migrations"), std::to_string(known_migrations().size()));
}

TEST_F(MigrationsTest, AppliesOnlyWhatIsMissing) {
  ASSERT_TRUE(migrate(*database_, kClock, std::span(kUpToThree).first(1)));
  ASSERT_TRUE(migrate(*database_, kClock, std::span(kUpToThree).first(2)));
  EXPECT_EQ(text("SELECT count(b) FROM one"), "0");
  EXPECT_EQ(text("SELECT max(version) FROM gbgreg_schema_migrations"), "2");
}

TEST_F(MigrationsTest, LeavesEverythingAsItWasWhenOneFails) {
  EXPECT_FALSE(migrate(*database_, kClock, kUpToThree));
  EXPECT_EQ(text("SELECT count(*) FROM sqlite_master"), "0");
}

TEST_F(MigrationsTest, RefusesADatabaseOfANewerProgram) {
  ASSERT_TRUE(migrate(*database_, kClock, std::span(kUpToThree).first(2)));
  const auto refused = migrate(*database_, kClock, std::span(kUpToThree).first(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "schema_newer");
  EXPECT_NE(refused.error().message.find("version 2"), std::string::npos);
}

TEST(KnownMigrations, AreNumberedWithoutGaps) {
  int version = 0;
  for (const Migration& migration : known_migrations()) EXPECT_EQ(migration.version, ++version);
}

}  // namespace
}  // namespace gbgreg::storage

#include "storage/copy_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/loose_rows.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

using testing::IsEmpty;

// Out of the one into the other.
class CopyRowsTest : public EachDatabase {
 protected:
  static TestedDatabase other() { return is_sqlite() ? TestedDatabase::postgresql : TestedDatabase::sqlite; }

  std::unique_ptr<Database> target() {
    const Options options{
        .database_url = new_database(other(), folder_.path()), .uploads_folder = {}, .database_connections = 2};
    auto database = std::move(Database::open(options).value());
    EXPECT_TRUE(migrate(*database, clock_));
    return database;
  }
  Upload upload(int nth) const {
    const WallTime time{std::chrono::milliseconds{1'700'000'000'000 + nth}};
    return {.id = new_uuid(time),
            .filename = "a.txt",
            .original_filename = "a.txt",
            .kind = "text",
            .media_type = "text/plain",
            .size_bytes = 5'000'000'000,
            .sha256 = std::string(64, 'a'),
            .created_at = rfc3339(time)};
  }
  // Something in every table, with what is optional and what is not, and more than a page of files.
  void fill() {
    full_ = upload(1);
    full_.description = "für \xF0\x9F\x98\x80 'x' \\ \"";
    full_.language = "";
    ASSERT_TRUE(stores_.uploads.insert(full_));
    plain_ = upload(2);
    plain_ = stores_.uploads.insert(plain_).value();
    project_ = {.id = new_uuid(clock_.wall()), .name = "p", .file_count = kFiles, .created_at = "t"};
    std::vector<ProjectFile> files;
    files.reserve(kFiles);
    for (int i = 0; i < kFiles; ++i) {
      files.push_back({.path = "Ordner/ü" + std::to_string(i),
                       .kind = "text",
                       .media_type = "text/plain",
                       .size_bytes = 1,
                       .sha256 = std::string(64, 'b')});
    }
    StoredArchive archive{.upload = upload(3), .extraction = {.id = "e", .archive_upload_id = {}}};
    archive.extraction.archive_upload_id = archive.upload.id;
    ASSERT_TRUE(stores_.projects.insert(project_, files, &archive));
    analysis_ = {.id = new_uuid(clock_.wall()),
                 .upload_id = full_.id,
                 .image_sha256 = full_.sha256,
                 .prompt = "?",
                 .created_at = "t"};
    ASSERT_TRUE(stores_.screenshots.insert(analysis_));
    request_ = {
        .id = new_uuid(clock_.wall()), .created_at = "t", .queue_ms = 0.1, .ttft_ms = 1.0 / 3, .total_ms = 1e15 / 7};
    ASSERT_TRUE(stores_.requests.write(std::span(&request_, 1), {}, 0));
    deed_ = {.id = new_uuid(clock_.wall()), .created_at = "t", .action = "key.create", .status = 403, .left_out = 7};
    ASSERT_TRUE(stores_.audit.insert(std::span(&deed_, 1)));
  }

  static std::size_t known_tables(Database& database) {
    const auto work = [&](soci::session& session) -> Result<std::vector<std::string>> {
      return database.dialect().tables(session);
    };
    return database.with_connection(work)->size();
  }

  static constexpr int kFiles = 1'203;
  TestFolder source_folder_, folder_;
  Disk disk_;
  SystemClock clock_;
  TestStores stores_{source_folder_.path(), disk_, clock_, new_database(GetParam(), source_folder_.path())};
  Upload full_, plain_;
  Project project_;
  Analysis analysis_;
  RequestRow request_;
  AuditRow deed_;
};

TEST_P(CopyRowsTest, BringsEveryRowAsItIs) {
  fill();
  const auto to = target();
  std::uint64_t shown = 0;
  const auto show = [&](const RowsProgress& progress) {
    EXPECT_GE(progress.rows_done, shown);
    EXPECT_EQ(progress.rows_total, static_cast<std::uint64_t>(kFiles) + 8);
    shown = progress.rows_done;
  };
  const auto copied = copy_rows(*stores_.database, *to, show);
  ASSERT_TRUE(copied) << copied.error().message << copied.error().detail;
  EXPECT_EQ(shown, static_cast<std::uint64_t>(kFiles) + 8);
  EXPECT_EQ(*copied, count_rows(*to).value());
  EXPECT_EQ(*copied, count_rows(*stores_.database).value());
  EXPECT_EQ(copied->size() + 1, known_tables(*to));

  UploadStore uploads(*to, 10);
  EXPECT_EQ(uploads.find(full_.id).value(), full_);
  EXPECT_EQ(uploads.find(plain_.id).value(), plain_);
  EXPECT_EQ(plain_.duplicate_of, full_.id);
  ProjectStore projects(*to, 10);
  EXPECT_EQ(projects.find(project_.id).value(), project_);
  EXPECT_EQ(projects.files(project_.id, {.limit = 10'000})->files,
            stores_.projects.files(project_.id, {.limit = 10'000})->files);
  EXPECT_EQ(projects.extraction(project_.id).value(), stores_.projects.extraction(project_.id).value());
  EXPECT_EQ(ScreenshotStore(*to).find(analysis_.id).value(), analysis_);
  EXPECT_EQ(RequestStore(*to).list({})->requests, std::vector{request_});
  EXPECT_EQ(AuditStore(*to).list({})->rows, std::vector{deed_});
  EXPECT_THAT(find_loose_rows(*to).value(), IsEmpty());
}

TEST_P(CopyRowsTest, RefusesATargetThatHasSomething) {
  fill();
  const auto to = target();
  UploadStore uploads(*to, 10);
  const Upload theirs = upload(9);
  ASSERT_TRUE(uploads.insert(theirs));
  EXPECT_EQ(copy_rows(*stores_.database, *to, [](const RowsProgress&) {}).error().code, "target_not_empty");
  EXPECT_EQ(uploads.list({.limit = 10})->uploads, std::vector{theirs});
}

TEST_P(CopyRowsTest, LeavesNothingWhenItFailsInTheMidst) {
  fill();
  const auto to = target();
  ASSERT_TRUE(to->with_connection([](soci::session& session) -> Result<void> {
    session << "ALTER TABLE gbgreg_uploads RENAME COLUMN purpose TO something_else";
    return {};
  }));
  EXPECT_EQ(copy_rows(*stores_.database, *to, [](const RowsProgress&) {}).error().code, "database_failed");
  for (const TableRows& table : count_rows(*to).value()) EXPECT_EQ(table.rows, 0U) << table.table;
}

TEST_P(CopyRowsTest, NeedsBothOfThisVersion) {
  const Options options{.database_url = new_database(other(), folder_.path()), .uploads_folder = {}};
  const auto to = std::move(Database::open(options).value());
  ASSERT_TRUE(migrate(*to, clock_, known_migrations().first(1)));
  EXPECT_EQ(copy_rows(*stores_.database, *to, [](const RowsProgress&) {}).error().code, "schema_older");
  EXPECT_EQ(copy_rows(*to, *stores_.database, [](const RowsProgress&) {}).error().code, "schema_older");
  ASSERT_TRUE(migrate(*to, clock_));
  ASSERT_TRUE(to->with_connection([](soci::session& session) -> Result<void> {
    session << "INSERT INTO gbgreg_schema_migrations VALUES (999, 'later', 'then')";
    return {};
  }));
  EXPECT_EQ(copy_rows(*to, *stores_.database, [](const RowsProgress&) {}).error().code, "schema_newer");
}

TEST_P(CopyRowsTest, LooseRowsAreFound) {
  fill();
  EXPECT_THAT(find_loose_rows(*stores_.database).value(), IsEmpty());
  ASSERT_TRUE(stores_.database->with_connection([&](soci::session& session) -> Result<void> {
    session << "DELETE FROM gbgreg_projects";
    session << "DELETE FROM gbgreg_uploads WHERE id = :id", soci::use(full_.id, "id");
    return {};
  }));
  const auto found = find_loose_rows(*stores_.database).value();
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].rows, static_cast<std::uint64_t>(kFiles));
  for (std::size_t i = 1; i < 3; ++i) EXPECT_EQ(found[i].rows, 1U) << found[i].what;
}

GBGREG_ON_EACH_DATABASE(CopyRowsTest);

}  // namespace
}  // namespace gbgreg::storage

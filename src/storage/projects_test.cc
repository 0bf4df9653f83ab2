#include "storage/projects.h"

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
using testing::UnorderedElementsAre;

class ProjectStoreTest : public EachDatabase {
 protected:
  // The nth project, a millisecond after the one before.
  static Project project(int nth) {
    const WallTime time{std::chrono::milliseconds{1'700'000'000'000 + nth}};
    return {.id = new_uuid(time),
            .name = "project " + std::to_string(nth),
            .file_count = 2,
            .size_bytes = 5'000'000'000,
            .languages_json = R"({"C++":2})",
            .created_at = rfc3339(time)};
  }

  static ProjectFile file(std::string path, char digit) {
    return {.path = std::move(path),
            .kind = "code",
            .media_type = "text/x-c++",
            .language = "C++",
            .size_bytes = 10,
            .sha256 = std::string(64, digit)};
  }

  static StoredArchive archive(char digit) {
    const WallTime time{std::chrono::milliseconds{1'700'000'000'000}};
    StoredArchive stored;
    stored.upload = {.id = new_uuid(time),
                     .filename = "a.zip",
                     .original_filename = "a.zip",
                     .kind = "archive",
                     .media_type = "application/zip",
                     .size_bytes = 7,
                     .sha256 = std::string(64, digit),
                     .created_at = rfc3339(time)};
    stored.extraction = {.id = new_uuid(time),
                         .archive_upload_id = stored.upload.id,
                         .entries_total = 3,
                         .entries_extracted = 2,
                         .entries_rejected = 1,
                         .bytes_extracted = 20,
                         .duration_ms = 4};
    return stored;
  }

  std::vector<std::string> paths(const std::string& id, const FileQuery& query) {
    std::vector<std::string> paths;
    for (const ProjectFile& found : stores_.projects.files(id, query).value().files) paths.push_back(found.path);
    return paths;
  }

  TestFolder folder_;
  Disk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
};

TEST_P(ProjectStoreTest, GivesBackEveryColumnAsItCame) {
  Project full = project(1);
  full.description = "für \xF0\x9F\x98\x80 ' --";
  StoredArchive stored = archive('e');
  const std::vector<ProjectFile> files = {file("a b/ü.cc", 'a'), file("z", 'b')};
  ASSERT_TRUE(stores_.projects.insert(full, files, &stored));
  EXPECT_EQ(stores_.projects.find(full.id).value(), full);
  EXPECT_EQ(stores_.projects.find_file(full.id, "a b/ü.cc").value(), files[0]);
  EXPECT_EQ(stores_.projects.extraction(full.id).value(), stored.extraction);
  EXPECT_EQ(stores_.uploads.find(stored.upload.id).value(), stored.upload);

  const Project plain = project(2);
  ASSERT_TRUE(stores_.projects.insert(plain, {}, nullptr));
  EXPECT_EQ(stores_.projects.find(plain.id).value(), plain);
  EXPECT_EQ(stores_.projects.extraction(plain.id).value(), std::nullopt);
}

TEST_P(ProjectStoreTest, InsertsAllOrNothing) {
  StoredArchive stored = archive('e');
  const Project one = project(1);
  EXPECT_FALSE(stores_.projects.insert(one, {file("same", 'a'), file("same", 'b')}, &stored));
  EXPECT_EQ(stores_.projects.find(one.id).error().code, "project_not_found");
  EXPECT_EQ(stores_.uploads.find(stored.upload.id).error().code, "upload_not_found");
  EXPECT_FALSE(stores_.uploads.uses(std::string(64, 'a')).value());
}

TEST_P(ProjectStoreTest, ListsNewestFirstInPages) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    const Project each = project(i);
    ASSERT_TRUE(stores_.projects.insert(each, {}, nullptr));
    ids.insert(ids.begin(), each.id);
  }
  std::vector<std::string> seen;
  std::string cursor;
  do {
    const auto page = stores_.projects.list(2, cursor);
    ASSERT_TRUE(page);
    for (const Project& each : page->projects) seen.push_back(each.id);
    cursor = page->next_cursor.value_or("");
  } while (!cursor.empty());
  EXPECT_EQ(seen, ids);
  EXPECT_EQ(stores_.projects.list(0, "").error().code, "limit_out_of_bounds");
  EXPECT_EQ(stores_.projects.list(201, "").error().code, "limit_out_of_bounds");
  EXPECT_EQ(stores_.projects.list(1, "x").error().code, "cursor_malformed");
}

TEST_P(ProjectStoreTest, ListsFilesByPathBelowAFolder) {
  const Project one = project(1);
  ASSERT_TRUE(stores_.projects.insert(one,
                                      {file("src/b", 'a'), file("src/a/x", 'a'), file("src.txt", 'a'),
                                       file("srcs/y", 'a'), file("src0", 'a'), file("\xF0\x9F\x98\x80", 'a')},
                                      nullptr));
  EXPECT_THAT(paths(one.id, {.folder = "src"}), ElementsAre("src/a/x", "src/b"));
  EXPECT_THAT(paths(one.id, {}), ElementsAre("src.txt", "src/a/x", "src/b", "src0", "srcs/y", "\xF0\x9F\x98\x80"));
  const auto page = stores_.projects.files(one.id, {.limit = 2}).value();
  EXPECT_EQ(page.next_after, "src/a/x");
  EXPECT_THAT(paths(one.id, {.limit = 2, .after = *page.next_after}), ElementsAre("src/b", "src0"));
  EXPECT_EQ(stores_.projects.files("nobody", {}).error().code, "project_not_found");
  EXPECT_EQ(stores_.projects.files(one.id, {.limit = 10'001}).error().code, "limit_out_of_bounds");
  EXPECT_EQ(stores_.projects.find_file(one.id, "src").error().code, "project_file_not_found");
  EXPECT_EQ(stores_.projects.find_file("nobody", "src/b").error().code, "project_not_found");
}

TEST_P(ProjectStoreTest, ForgetsAllOfAProjectAndTellsWhatNobodyNamesAnyMore) {
  StoredArchive stored = archive('e');
  const Project one = project(1), other = project(2);
  ASSERT_TRUE(stores_.projects.insert(one, {file("x", 'a'), file("y", 'b'), file("z", 'c')}, &stored));
  ASSERT_TRUE(stores_.projects.insert(other, {file("x", 'b')}, nullptr));
  Upload upload = archive('c').upload;
  ASSERT_TRUE(stores_.uploads.insert(upload));

  EXPECT_THAT(stores_.projects.remove(one.id).value(),
              UnorderedElementsAre(std::string(64, 'a'), std::string(64, 'e')));
  EXPECT_EQ(stores_.projects.find(one.id).error().code, "project_not_found");
  EXPECT_EQ(stores_.uploads.find(stored.upload.id).error().code, "upload_not_found");
  EXPECT_EQ(stores_.projects.remove(one.id).error().code, "project_not_found");
  EXPECT_THAT(paths(other.id, {}), ElementsAre("x"));
}

TEST_P(ProjectStoreTest, AnUploadsBytesStayWhileAProjectNamesThem) {
  ASSERT_TRUE(stores_.projects.insert(project(1), {file("x", 'a')}, nullptr));
  Upload upload = archive('a').upload;
  ASSERT_TRUE(stores_.uploads.insert(upload));
  EXPECT_TRUE(stores_.uploads.remove(upload.id).value().bytes_still_used);
  EXPECT_TRUE(stores_.uploads.uses(std::string(64, 'a')).value());
  EXPECT_THAT(stores_.uploads.digests("aa").value(), ElementsAre(std::string(64, 'a')));
  EXPECT_THAT(stores_.uploads.digests("ab").value(), IsEmpty());
}

GBGREG_ON_EACH_DATABASE(ProjectStoreTest);

}  // namespace
}  // namespace gbgreg::storage

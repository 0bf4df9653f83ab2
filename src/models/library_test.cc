#include "models/library.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "core/ids.h"
#include "models/pull.h"
#include "models/sha256.h"

namespace gbgreg::models {
namespace {

namespace fs = std::filesystem;

// A disk on which the Nth call of a kind fails.
class FailingDisk final : public storage::Disk {
 public:
  int fail_sync_after = -1;
  int fail_rename_after = -1;
  int sync(int file) override { return fails(fail_sync_after) ? broken(EIO) : Disk::sync(file); }
  int sync_folder(const std::string& path) override {
    return fails(fail_sync_after) ? broken(EIO) : Disk::sync_folder(path);
  }
  int rename(const std::string& from, const std::string& to) override {
    return fails(fail_rename_after) ? broken(EIO) : Disk::rename(from, to);
  }

 private:
  static bool fails(int& left) {
    const int before = left;
    if (before >= 0) --left;
    return before == 0;
  }
  static int broken(int number) {
    errno = number;
    return -1;
  }
};

class LibraryTest : public testing::Test {
 protected:
  LibraryTest() { fs::create_directories(root_); }
  void TearDown() override { fs::remove_all(root_); }

  fs::path file(const std::string& name, const std::string& bytes) {
    const fs::path path = root_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  Result<Stored> take_in(const std::string& name, std::vector<fs::path> files, const fs::path& projector = {}) {
    const Import wanted{.name = *parse_name(name), .files = std::move(files), .projector = projector};
    return import_model(library_.own(), wanted, [](const PullProgress&) {}, {});
  }
  std::size_t files_in(const fs::path& folder) const {
    std::error_code none;
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder, none), fs::directory_iterator()));
  }

  fs::path root_ = fs::path(testing::TempDir()) / ("gbgreg_library_" + random_hex(8));
  fs::path ollama_ = root_ / "ollama";
  FailingDisk disk_;
  Options options_{.folder = root_ / "data" / "models", .other_folders = {root_ / "nowhere", ollama_}};
  Library library_{options_, disk_};
};

TEST_F(LibraryTest, HasNothingBeforeAnythingCame) {
  EXPECT_TRUE(library_.list().empty());
  const auto found = library_.files("llama3.1:8b");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, "model_not_stored");
  EXPECT_NE(found.error().message.find("gbgreg models pull llama3.1:8b"), std::string::npos);
  EXPECT_FALSE(fs::exists(options_.folder)) << "who looks makes nothing";
}

TEST_F(LibraryTest, FindsWhatWasImportedWithItsProjector) {
  ASSERT_TRUE(take_in("eyes", {file("m.gguf", "GGUF weights")}, file("p.gguf", "GGUF projector")));
  const auto files = library_.files("eyes");
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->model, options_.folder / "blobs" / ("sha256-" + sha256_of("GGUF weights")));
  EXPECT_EQ(files->projector, options_.folder / "blobs" / ("sha256-" + sha256_of("GGUF projector")));
  EXPECT_EQ(library_.files("EYES:LATEST")->model, files->model);
  EXPECT_EQ(files_in(options_.folder / "partial"), 0U);
}

TEST_F(LibraryTest, LaysShardsSideBySideUnderTheirNames) {
  std::vector<fs::path> shards;
  for (int i = 1; i <= 3; ++i) shards.push_back(file(shard_file_name("m", i, 3), "GGUF " + std::to_string(i)));
  EXPECT_EQ(*all_shards(shards[1]), shards);
  ASSERT_TRUE(take_in("cut", shards));
  for (int round = 0; round < 2; ++round) {
    const auto files = library_.files("cut");
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_EQ(files->model.filename(), "model-00001-of-00003.gguf");
    EXPECT_EQ(fs::file_size(files->model.parent_path() / "model-00003-of-00003.gguf"), 6U);
    EXPECT_EQ(files_in(files->model.parent_path()), 3U);
  }
  fs::remove(shards[2]);
  EXPECT_FALSE(all_shards(shards[0]));
}

TEST_F(LibraryTest, TakesInNothingThatIsNoGguf) {
  const auto stored = take_in("page", {file("m.gguf", "<html>")});
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, "not_gguf");
  EXPECT_FALSE(take_in("gone", {root_ / "gone.gguf"}));
  ASSERT_EQ(::mkfifo((root_ / "pipe.gguf").c_str(), 0600), 0);
  EXPECT_FALSE(take_in("pipe", {root_ / "pipe.gguf"}));
  EXPECT_TRUE(library_.list().empty());
}

TEST_F(LibraryTest, RemovesWhatNoOtherModelHas) {
  const fs::path shared = file("m.gguf", "GGUF shared");
  ASSERT_TRUE(take_in("one", {shared}));
  ASSERT_TRUE(take_in("two", {shared}, file("p.gguf", "GGUF own")));
  ASSERT_TRUE(library_.remove(*parse_name("two")));
  EXPECT_FALSE(library_.files("two"));
  EXPECT_TRUE(library_.files("one"));
  EXPECT_FALSE(fs::exists(options_.folder / "blobs" / ("sha256-" + sha256_of("GGUF own"))));
  ASSERT_TRUE(library_.remove(*parse_name("one")));
  EXPECT_EQ(files_in(options_.folder / "blobs"), 0U);
  EXPECT_EQ(library_.remove(*parse_name("one")).error().code, "model_not_stored");
}

TEST_F(LibraryTest, RemovesNothingWhileSomebodyFetches) {
  ASSERT_TRUE(take_in("one", {file("m.gguf", "GGUF one")}));
  {
    const auto held = library_.own().hold_for_writing();
    ASSERT_TRUE(held);
    EXPECT_EQ(library_.remove(*parse_name("one")).error().code, "pull_under_way");
    EXPECT_EQ(library_.own().prune().error().code, "pull_under_way");
  }
  EXPECT_TRUE(library_.remove(*parse_name("one")));
}

TEST_F(LibraryTest, PrunesWhatNoModelHas) {
  ASSERT_TRUE(take_in("one", {file("m.gguf", "GGUF one")}));
  file("data/models/partial/sha256-" + std::string(64, 'a'), "12345");
  file("data/models/blobs/sha256-" + std::string(64, 'b'), "123");
  file("data/models/blobs/notes.txt", "not ours");
  EXPECT_EQ(library_.own().prune(), 8U);
  EXPECT_TRUE(library_.files("one"));
  EXPECT_TRUE(fs::exists(options_.folder / "blobs" / "notes.txt"));
}

TEST_F(LibraryTest, UsesAFolderOfOllamasInPlaceAndChangesNothingInIt) {
  const std::string weights = "GGUF theirs";
  const std::string digest = sha256_of(weights);
  file("ollama/blobs/sha256-" + digest, weights);
  const std::string manifest = write_manifest(
      {.config = {.media_type = std::string(kConfigType), .sha256 = digest, .size_bytes = weights.size()},
       .layers = {{.media_type = std::string(kModelType), .sha256 = digest, .size_bytes = weights.size()}}});
  file("ollama/manifests/registry.ollama.ai/library/theirs/8b", manifest);
  file("ollama/manifests/registry.ollama.ai/library/broken/8b", "{");
  file("ollama/manifests/stray", "x");
  file("ollama/manifests/..hidden/a/b/c", manifest);
  ASSERT_EQ(library_.list().size(), 1U);
  EXPECT_FALSE(library_.list()[0].is_own);
  EXPECT_EQ(library_.list()[0].stored.digest, sha256_of(manifest));
  EXPECT_EQ(library_.files("theirs:8b")->model, ollama_ / "blobs" / ("sha256-" + digest));
  EXPECT_EQ(library_.files("broken:8b").error().code, "bad_manifest");
  EXPECT_EQ(library_.remove(*parse_name("theirs:8b")).error().code, "not_ours");
  EXPECT_FALSE(fs::exists(options_.folder));

  // Half of it: the weights are cut, or are gone.
  file("ollama/blobs/sha256-" + digest, weights.substr(0, 5));
  EXPECT_EQ(library_.files("theirs:8b").error().code, "model_incomplete");
  fs::remove(ollama_ / "blobs" / ("sha256-" + digest));
  EXPECT_EQ(library_.files("theirs:8b").error().code, "model_incomplete");
}

TEST_F(LibraryTest, RefusesAModelWithAnAdapter) {
  const std::string weights = "GGUF base";
  const std::string digest = sha256_of(weights);
  file("ollama/blobs/sha256-" + digest, weights);
  Manifest manifest{.config = {.media_type = std::string(kConfigType), .sha256 = digest, .size_bytes = weights.size()}};
  for (const auto type : {kModelType, kAdapterType}) {
    manifest.layers.push_back({.media_type = std::string(type), .sha256 = digest, .size_bytes = weights.size()});
  }
  file("ollama/manifests/registry.ollama.ai/library/tuned/8b", write_manifest(manifest));
  EXPECT_EQ(library_.files("tuned:8b").error().code, "model_not_supported");
}

// Whichever step fails: the model is whole, or not there, and nothing half-done is in the way of the next try.
TEST_F(LibraryTest, IsWholeOrNotThereWhicheverStepOfTheDiskFails) {
  const fs::path source = file("m.gguf", "GGUF one");
  int failures = 0;
  for (int* kind : {&disk_.fail_sync_after, &disk_.fail_rename_after}) {
    for (int step = 0;; ++step) {
      SCOPED_TRACE(step);
      fs::remove_all(options_.folder);
      *kind = step;
      const auto stored = take_in("one", {source});
      const bool has_failed = *kind < 0;
      *kind = -1;
      if (!has_failed) break;
      ++failures;
      EXPECT_FALSE(stored);
      if (library_.find(*parse_name("one"))) EXPECT_TRUE(library_.files("one"));
      EXPECT_EQ(files_in(options_.folder / "partial"), 0U);
      EXPECT_TRUE(take_in("one", {source}));
      EXPECT_TRUE(library_.files("one"));
    }
  }
  EXPECT_GE(failures, 8);
}

TEST(UsualFolders, AreThoseThatAreThere) {
  const fs::path home = fs::path(testing::TempDir()) / ("gbgreg_home_" + random_hex(8));
  EXPECT_TRUE(usual_folders("", home).empty() || usual_folders("", home).front() != home / ".ollama" / "models");
  fs::create_directories(home / ".ollama" / "models" / "manifests");
  EXPECT_EQ(usual_folders("", home).front(), home / ".ollama" / "models");
  fs::remove_all(home);
}

}  // namespace
}  // namespace gbgreg::models

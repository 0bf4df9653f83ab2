#include "app/data_folder.h"

#include <gmock/gmock.h>

#include <fstream>
#include <vector>

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

class RecordingDisk final : public storage::Disk {
 public:
  int sync_folder(const std::string& path) override {
    synced.push_back(path);
    return storage::Disk::sync_folder(path);
  }
  std::vector<fs::path> synced;
};

class DataFolderTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(root_); }

  RecordingDisk disk_;
  fs::path root_ = fs::path(testing::TempDir()) / ("gbgreg_data_" + random_hex(4));
};

TEST_F(DataFolderTest, MakesItsFoldersForItsOwnerOnly) {
  const auto folder = DataFolder::open(root_ / "deep", disk_);
  ASSERT_TRUE(folder) << folder.error().message;
  for (const fs::path& made : {root_ / "deep", folder->uploads(), root_ / "deep" / "projects"}) {
    EXPECT_TRUE(fs::is_directory(made)) << made;
    EXPECT_EQ(fs::status(made).permissions(), fs::perms::owner_all) << made;
  }
}

TEST_F(DataFolderTest, SyncsTheNameOfEachFolderThatItMakes) {
  const fs::path data = root_ / "a" / "b";
  ASSERT_TRUE(DataFolder::open(data, disk_));
  for (const fs::path& synced : {root_.parent_path(), root_, root_ / "a", data}) {
    EXPECT_THAT(disk_.synced, testing::Contains(synced));
  }
  disk_.synced.clear();
  ASSERT_TRUE(DataFolder::open(data, disk_));
  EXPECT_THAT(disk_.synced, testing::IsEmpty());  // The folders above may not be ours to open.
}

TEST_F(DataFolderTest, LeavesTheModeOfAFolderThatWasThereAndKeepsTheDatabasePrivateInIt) {
  fs::create_directory(root_);
  const fs::perms readable = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec;
  fs::permissions(root_, readable);
  std::ofstream(DataFolder::database_in(root_)) << "rows";
  fs::permissions(DataFolder::database_in(root_), fs::perms::owner_all | fs::perms::others_read);
  const auto folder = DataFolder::open(root_.string() + "/", disk_);
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ(fs::status(root_).permissions(), readable);
  EXPECT_EQ(fs::status(folder->uploads()).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(folder->database()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(DataFolderTest, RefusesAFolderThatOthersMayWriteAndLeavesItAsItIs) {
  fs::create_directory(root_);
  for (const fs::perms mode : {fs::perms::all | fs::perms::sticky_bit, fs::perms::owner_all | fs::perms::group_write,
                               fs::perms::owner_all | fs::perms::others_write}) {
    fs::permissions(root_, mode);
    const auto folder = DataFolder::open(root_, disk_);
    ASSERT_FALSE(folder);
    EXPECT_NE(folder.error().message.find("--data"), std::string::npos);
    EXPECT_EQ(fs::status(root_).permissions(), mode);
    EXPECT_TRUE(fs::is_empty(root_));
  }
}

TEST_F(DataFolderTest, BelongsToOneGatewayAtATime) {
  {
    const auto first = DataFolder::open(root_, disk_);
    ASSERT_TRUE(first);
    const auto second = DataFolder::open(root_, disk_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, Kind::conflict);
  }
  EXPECT_TRUE(DataFolder::open(root_, disk_));
}

TEST_F(DataFolderTest, KeepsTheSocketsPathShort) {
  fs::path run;
  {
    const auto folder = DataFolder::open(root_ / std::string(120, 'x'), disk_);
    ASSERT_TRUE(folder);
    run = folder->run();
    EXPECT_LT(run.native().size(), 80U);
    EXPECT_TRUE(fs::is_directory(run));
  }
  EXPECT_FALSE(fs::exists(run));
}

TEST_F(DataFolderTest, ARestartUsesTheShortFolderThatAKilledGatewayLeft) {
  const fs::path data = root_ / std::string(120, 'x');
  const fs::path run = DataFolder::open(data, disk_)->run();
  fs::create_directory(run);
  fs::permissions(run, fs::perms::owner_all);
  std::ofstream(run / "w0-1.sock") << "stale";
  {
    const auto folder = DataFolder::open(data, disk_);
    ASSERT_TRUE(folder) << folder.error().message;
    EXPECT_EQ(folder->run(), run);
    const auto other = DataFolder::open(root_ / std::string(121, 'x'), disk_);
    ASSERT_TRUE(other);
    EXPECT_NE(other->run(), run);
  }
  EXPECT_FALSE(fs::exists(run));
}

TEST_F(DataFolderTest, RefusesAShortFolderThatIsNotItsOwn) {
  const fs::path data = root_ / std::string(120, 'x');
  const fs::path run = DataFolder::open(data, disk_)->run();
  const auto refuses = [&] {
    const auto folder = DataFolder::open(data, disk_);
    return !folder && folder.error().code == "run_folder";
  };
  fs::create_directory_symlink(root_, run);
  EXPECT_TRUE(refuses());
  fs::remove(run);
  fs::create_directory(run);
  fs::permissions(run, fs::perms::all);
  EXPECT_TRUE(refuses());
  fs::remove(run);
  EXPECT_TRUE(DataFolder::open(data, disk_));
}

TEST_F(DataFolderTest, SaysWhatToDoWhenItCannotBeMade) {
  const auto folder = DataFolder::open("/proc/nothing", disk_);
  ASSERT_FALSE(folder);
  EXPECT_NE(folder.error().message.find("--data"), std::string::npos);
}

}  // namespace
}  // namespace gbgreg::app

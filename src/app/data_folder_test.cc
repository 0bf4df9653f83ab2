#include "app/data_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

class DataFolderTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(root_); }
  fs::path root_ = fs::path(testing::TempDir()) / ("gbgreg_data_" + random_hex(4));
};

TEST_F(DataFolderTest, MakesItsFoldersForItsOwnerOnly) {
  const auto folder = DataFolder::open(root_ / "deep");
  ASSERT_TRUE(folder) << folder.error().message;
  for (const fs::path& made : {root_ / "deep", folder->uploads(), root_ / "deep" / "projects"}) {
    EXPECT_TRUE(fs::is_directory(made)) << made;
    EXPECT_EQ(fs::status(made).permissions(), fs::perms::owner_all) << made;
  }
}

TEST_F(DataFolderTest, LeavesTheModeOfAFolderThatWasThereAndKeepsTheDatabasePrivateInIt) {
  fs::create_directory(root_);
  const fs::perms readable = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec;
  fs::permissions(root_, readable);
  const auto folder = DataFolder::open(root_.string() + "/");
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
    const auto folder = DataFolder::open(root_);
    ASSERT_FALSE(folder);
    EXPECT_NE(folder.error().message.find("--data"), std::string::npos);
    EXPECT_EQ(fs::status(root_).permissions(), mode);
    EXPECT_TRUE(fs::is_empty(root_));
  }
}

TEST_F(DataFolderTest, BelongsToOneGatewayAtATime) {
  {
    const auto first = DataFolder::open(root_);
    ASSERT_TRUE(first);
    const auto second = DataFolder::open(root_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, Kind::conflict);
  }
  EXPECT_TRUE(DataFolder::open(root_));
}

TEST_F(DataFolderTest, KeepsTheSocketsPathShort) {
  fs::path run;
  {
    const auto folder = DataFolder::open(root_ / std::string(120, 'x'));
    ASSERT_TRUE(folder);
    run = folder->run();
    EXPECT_LT(run.native().size(), 80U);
    EXPECT_TRUE(fs::is_directory(run));
  }
  EXPECT_FALSE(fs::exists(run));
}

TEST_F(DataFolderTest, ARestartUsesTheShortFolderThatAKilledGatewayLeft) {
  const fs::path data = root_ / std::string(120, 'x');
  const fs::path run = DataFolder::open(data)->run();
  fs::create_directory(run);
  fs::permissions(run, fs::perms::owner_all);
  std::ofstream(run / "w0-1.sock") << "stale";
  {
    const auto folder = DataFolder::open(data);
    ASSERT_TRUE(folder) << folder.error().message;
    EXPECT_EQ(folder->run(), run);
    const auto other = DataFolder::open(root_ / std::string(121, 'x'));
    ASSERT_TRUE(other);
    EXPECT_NE(other->run(), run);
  }
  EXPECT_FALSE(fs::exists(run));
}

TEST_F(DataFolderTest, RefusesAShortFolderThatIsNotItsOwn) {
  const fs::path data = root_ / std::string(120, 'x');
  const fs::path run = DataFolder::open(data)->run();
  const auto refuses = [&] {
    const auto folder = DataFolder::open(data);
    return !folder && folder.error().code == "run_folder";
  };
  fs::create_directory_symlink(root_, run);
  EXPECT_TRUE(refuses());
  fs::remove(run);
  fs::create_directory(run);
  fs::permissions(run, fs::perms::all);
  EXPECT_TRUE(refuses());
  fs::remove(run);
  EXPECT_TRUE(DataFolder::open(data));
}

TEST_F(DataFolderTest, SaysWhatToDoWhenItCannotBeMade) {
  const auto folder = DataFolder::open("/proc/nothing");
  ASSERT_FALSE(folder);
  EXPECT_NE(folder.error().message.find("--data"), std::string::npos);
}

}  // namespace
}  // namespace gbgreg::app

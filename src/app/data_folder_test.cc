#include "app/data_folder.h"

#include <gtest/gtest.h>

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
  EXPECT_TRUE(fs::is_directory(folder->uploads()));
  EXPECT_TRUE(fs::is_directory(folder->projects()));
  EXPECT_EQ(fs::status(root_ / "deep").permissions(), fs::perms::owner_all);
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

TEST_F(DataFolderTest, SaysWhatToDoWhenItCannotBeMade) {
  const auto folder = DataFolder::open("/proc/nothing");
  ASSERT_FALSE(folder);
  EXPECT_NE(folder.error().message.find("--data"), std::string::npos);
}

}  // namespace
}  // namespace gbgreg::app

#include "fleet/run_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <fstream>

namespace gbgreg::fleet {
namespace {

namespace fs = std::filesystem;
using asio::local::stream_protocol;

class RunFolder : public testing::Test {
 public:
  RunFolder() {
    std::string name = fs::temp_directory_path() / "gbgreg-XXXXXX";
    base_ = ::mkdtemp(name.data());
  }
  ~RunFolder() override { fs::remove_all(base_); }

 protected:
  static fs::perms mode(const fs::path& path) { return fs::status(path).permissions(); }

  fs::path base_;
};

TEST_F(RunFolder, IsMadePrivateWithItsParents) {
  const fs::path folder = base_ / "a" / "run";
  ASSERT_TRUE(make_run_folder(folder));
  EXPECT_EQ(mode(folder), fs::perms::owner_all);
}

TEST_F(RunFolder, ThatExistsIsMadePrivate) {
  const fs::path folder = base_ / "run";
  fs::create_directory(folder);
  fs::permissions(folder, fs::perms::all);
  ASSERT_TRUE(make_run_folder(folder));
  EXPECT_EQ(mode(folder), fs::perms::owner_all);
}

TEST_F(RunFolder, IsRefusedWhenASocketsPathWouldNotFit) {
  const auto made = make_run_folder(base_ / std::string(90, 'x'));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, Kind::unavailable);
  EXPECT_NE(made.error().message.find("too long"), std::string::npos);
}

TEST_F(RunFolder, IsRefusedWhereAFileStands) {
  std::ofstream(base_ / "run") << "x";
  EXPECT_FALSE(make_run_folder(base_ / "run"));
}

TEST_F(RunFolder, LosesItsStaleSocketsAndNothingElse) {
  IoContext io;
  const std::string stale = base_ / "w0-1.sock";
  const std::string live = base_ / "w1-1.sock";
  {
    const stream_protocol::acceptor gone(io, stream_protocol::endpoint(stale));
  }
  const stream_protocol::acceptor listening(io, stream_protocol::endpoint(live));
  std::ofstream(base_ / "notes.sock") << "a file, not a socket";

  remove_stale_sockets(base_);
  EXPECT_FALSE(fs::exists(stale));
  EXPECT_TRUE(fs::exists(live));
  EXPECT_TRUE(fs::exists(base_ / "notes.sock"));
}

}  // namespace
}  // namespace gbgreg::fleet

#include "app/open_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace gbgreg::app {
namespace {

TEST(ConnectionsWithin, LeavesRoomForEverythingElse) {
  struct Case {
    const char* name;
    std::uint64_t open_files_max;
    int wanted, want;
  };
  const Case cases[] = {
      {"plenty", 1'048'576, 10'000, 10'000},
      {"no limit at all", RLIM_INFINITY, 1'000'000, 1'000'000},
      {"just enough", 10'768, 10'000, 10'000},
      {"one too few", 10'767, 10'000, 9'999},
      {"a common hard limit", 4'096, 10'000, 3'328},
      {"a small one", 400, 10'000, 200},
      {"fewer wanted", 400, 7, 7},
      {"hardly any", 1, 10'000, 1},
      {"an unknown limit", 0, 10'000, 1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(connections_within(c.open_files_max, c.wanted), c.want);
  }
}

TEST(RaiseOpenFilesLimit, RaisesTheSoftLimitAndTellsWhatItWas) {
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  const rlimit lowered{.rlim_cur = 100, .rlim_max = own.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lowered), 0);
  const OpenFilesLimit limit = raise_open_files_limit();
  rlimit raised{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &raised), 0);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &own), 0);
  EXPECT_EQ(limit.before, 100U);
  EXPECT_EQ(limit.now, own.rlim_max);
  EXPECT_EQ(raised.rlim_cur, own.rlim_max);
}

}  // namespace
}  // namespace gbgreg::app

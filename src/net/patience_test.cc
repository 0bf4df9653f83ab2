#include "net/patience.h"

#include <gtest/gtest.h>

namespace gbgreg::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kRate = 1024;

TEST(Patience, EndsWhenNothingComesForTheGrace) {
  Patience patience(seconds{30}, kRate);
  EXPECT_EQ(patience.left(), seconds{30});
  patience.waited(seconds{29}, 0);
  EXPECT_EQ(patience.left(), seconds{1});
  EXPECT_FALSE(patience.used_up());
  patience.waited(seconds{1}, 0);
  EXPECT_TRUE(patience.used_up());
}

TEST(Patience, EndsForATrickleHoweverLongItGoesOn) {
  Patience patience(seconds{30}, kRate);
  int waits = 0;
  while (!patience.used_up()) {
    patience.waited(seconds{1}, 100);
    ASSERT_LT(++waits, 100);
  }
  EXPECT_GE(waits, 30);
}

TEST(Patience, LastsForAsLongAsTheRateIsKept) {
  Patience patience(seconds{30}, kRate);
  for (int i = 0; i < 10'000; ++i) patience.waited(seconds{1}, kRate);
  EXPECT_EQ(patience.left(), seconds{30});
  for (int i = 0; i < 10'000; ++i) patience.waited(seconds{20}, 20 * kRate);
  EXPECT_EQ(patience.left(), seconds{30});
}

TEST(Patience, LetsNobodySaveUpMoreThanTheGrace) {
  Patience patience(seconds{30}, kRate);
  patience.waited(milliseconds{1}, std::uint64_t{1} << 62);
  EXPECT_EQ(patience.left(), seconds{30});
  patience.waited(seconds{30}, 1);
  patience.waited(seconds{1}, 1);
  EXPECT_TRUE(patience.used_up());
}

TEST(Patience, WithoutARateBoundsEachWait) {
  Patience patience(seconds{30});
  for (int i = 0; i < 100; ++i) patience.waited(seconds{29}, 1);
  EXPECT_EQ(patience.left(), seconds{30});
  patience.waited(seconds{30}, 0);
  EXPECT_TRUE(patience.used_up());
}

TEST(Patience, CountsLessThanAMillisecondToo) {
  Patience patience(milliseconds{10}, kRate);
  for (int i = 0; i < 20; ++i) patience.waited(std::chrono::microseconds{500}, 0);
  EXPECT_TRUE(patience.used_up());
}

}  // namespace
}  // namespace gbgreg::net

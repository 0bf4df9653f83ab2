#include "core/published.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace gbgreg {
namespace {

TEST(Published, IsReadAsItIsNowByEachLane) {
  Published<std::string> published(2, "first");
  EXPECT_EQ(published.read(0), "first");
  published.publish("second");
  EXPECT_EQ(published.read(0), "second");
  EXPECT_EQ(published.read(1), "second");
}

TEST(Published, LetsAnOldOneGoWhenItsLastReaderHasLookedAgain) {
  Published<std::shared_ptr<int>> published(2, std::make_shared<int>(1));
  const std::weak_ptr<int> old = published.read(0);
  published.read(1);
  published.publish(std::make_shared<int>(2));
  published.read(0);
  EXPECT_FALSE(old.expired());
  published.read(1);
  EXPECT_TRUE(old.expired());
}

TEST(Published, IsWholeWhoeverReads) {
  constexpr int kLast = 20'000;
  Published<std::pair<int, int>> published(2, {0, 0});
  const auto read_to_the_last = [&](int lane) {
    int before = 0;
    while (before != kLast) {
      const auto [one, other] = published.read(lane);
      ASSERT_EQ(one, other);
      ASSERT_GE(one, before);
      before = one;
    }
  };
  std::thread reader([&] { read_to_the_last(0); });
  std::thread other_reader([&] { read_to_the_last(1); });
  for (int i = 1; i <= kLast; ++i) published.publish({i, i});
  reader.join();
  other_reader.join();
}

}  // namespace
}  // namespace gbgreg

#include "storage/answer_watch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace gbgreg::storage {
namespace {

using namespace std::chrono_literals;

class AnswerWatchTest : public testing::Test {
 protected:
  AnswerWatchTest() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0); }
  void TearDown() override {
    for (const int end : ends_) ::close(end);
  }
  // Waits until it is shut down, for a minute at most.
  bool is_cut(int wait_ms = 60'000) const {
    pollfd watched{.fd = ends_[0], .events = POLLIN, .revents = 0};
    char byte = 0;
    return ::poll(&watched, 1, wait_ms) == 1 && ::recv(ends_[0], &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
  }

  std::array<int, 2> ends_{};
};

TEST_F(AnswerWatchTest, CutsWhatDoesNotAnswer) {
  AnswerWatch watch(20ms);
  const AnswerWatch::Watched watched(watch, ends_[0]);
  EXPECT_TRUE(is_cut());
}

TEST_F(AnswerWatchTest, LetsGoWhatIsNotWatchedAnyMore) {
  AnswerWatch watch(20ms);
  {
    const AnswerWatch::Watched watched(watch, ends_[0]);
  }
  // Another one that began later is cut, and this one is not.
  std::array<int, 2> others{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, others.data()), 0);
  watch.begin(others[0]);
  char byte = 0;
  EXPECT_EQ(::recv(others[0], &byte, 1, 0), 0);
  EXPECT_FALSE(is_cut(0));
  for (const int end : others) ::close(end);
}

TEST_F(AnswerWatchTest, EachQuestionHasTheWholeTime) {
  constexpr auto kBound = 100ms;
  for (bool was_in_time = false; !was_in_time;) {
    AnswerWatch watch(kBound);
    const auto began = std::chrono::steady_clock::now();
    watch.begin(ends_[0]);
    while (std::chrono::steady_clock::now() < began + kBound / 2) std::this_thread::yield();
    const auto asked = std::chrono::steady_clock::now();
    watch.go_on(ends_[0]);
    was_in_time = std::chrono::steady_clock::now() < began + kBound;
    ASSERT_TRUE(is_cut());
    if (was_in_time) {
      EXPECT_GE(std::chrono::steady_clock::now(), asked + kBound);
      continue;
    }
    // A busy machine: the first one's time was up already, which says nothing.
    for (const int end : ends_) ::close(end);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0);
  }
}

}  // namespace
}  // namespace gbgreg::storage

// The server when memory is short: a task that is lost is all that is lost.
#include <gtest/gtest.h>

#include "core/failing_memory.h"
#include "net/test_server.h"

namespace gbgreg::net {
namespace {

class ServerMemoryTest : public ServerTest {};

TEST_F(ServerMemoryTest, GivesThePlaceOfATaskThatIsLostBack) {
  options_.threads = 1;
  options_.connections_max = 2;
  start();
  for (int i = 0; i < 2 * options_.connections_max; ++i) {
    EXPECT_EQ(talk("GET /lost HTTP/1.1\r\nHost: a\r\n\r\n"), "") << i;
    wait_until([this] { return server_->figures().connections == 0; });
  }
  EXPECT_TRUE(talk("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(ServerMemoryTest, GoesOnWhicheverAllocationFails) {
  options_.threads = 1;
  start();
  const std::string ask = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  constexpr int kAllocations = 80;  // More than two requests need, so that accepting meets each failure, too.
  for (int spared = 0; spared < kAllocations; ++spared) {
    SCOPED_TRACE(spared);
    const int failed_before = failed_allocations();
    (void)answer_in_time("GET /short_of_memory?" + std::to_string(spared) +
                         " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while (failed_allocations() == failed_before) {
      const auto answer = answer_in_time(ask);
      ASSERT_TRUE(answer) << "nobody answers";
    }
    const auto answer = answer_in_time(ask);
    ASSERT_TRUE(answer) << "nobody answers";
    EXPECT_TRUE(answer->starts_with("HTTP/1.1 200")) << *answer;
    wait_until([this] { return server_->figures().connections == 0; });
  }
  const SteadyTime began = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, options_.drain_timeout);
}

}  // namespace
}  // namespace gbgreg::net

#include "net/io_thread.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "core/failing_memory.h"
#include "net/connection.h"

namespace gbgreg::net {
namespace {

// A connection, and the other end of it.
class Pair {
 public:
  explicit Pair(IoThread& io) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
    connection = std::make_unique<Connection>(io, Socket(io.executor(), {AF_UNIX, 0}, ends_[0]));
  }
  ~Pair() { close(ends_[1]); }

  bool is_closed() const {
    char byte = 0;
    return recv(ends_[1], &byte, 1, MSG_DONTWAIT) == 0;
  }

  std::unique_ptr<Connection> connection;

 private:
  std::array<int, 2> ends_{};
};

class IdleConnectionsTest : public testing::Test {
 protected:
  Options options_;
  IoThread io_{0, options_};
};

TEST_F(IdleConnectionsTest, ClosesWhatIsTooOldWhenItKeepsAnother) {
  IdleConnections idle(4, std::chrono::milliseconds{0});
  Pair old(io_), of_another_address(io_), fresh(io_);
  idle.keep("a", std::move(old.connection));
  idle.keep("b", std::move(of_another_address.connection));
  const SteadyTime kept = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() == kept) {
  }
  idle.keep("a", std::move(fresh.connection));
  EXPECT_TRUE(old.is_closed());
  EXPECT_TRUE(of_another_address.is_closed());
  EXPECT_FALSE(fresh.is_closed());
}

TEST_F(IdleConnectionsTest, KeepsNoMoreOfAnAddressThanItMay) {
  IdleConnections idle(2, std::chrono::minutes{1});
  Pair first(io_), second(io_), third(io_);
  for (Pair* pair : {&first, &second, &third}) idle.keep("a", std::move(pair->connection));
  EXPECT_FALSE(first.is_closed());
  EXPECT_FALSE(second.is_closed());
  EXPECT_TRUE(third.is_closed());
  EXPECT_NE(idle.take("a"), nullptr);
}

TEST_F(IdleConnectionsTest, ClosesWhatItHasNoMemoryToKeep) {
  // An allocation for the address and one for its list, at the least.
  for (int spared = 0; spared < 2; ++spared) {
    SCOPED_TRACE(spared);
    IdleConnections idle(4, std::chrono::minutes{1});
    Pair pair(io_);
    const std::string address = "a";
    const int failed_before = failed_allocations();
    fail_allocation_after(spared);
    idle.keep(address, std::move(pair.connection));
    spare_allocations();
    EXPECT_EQ(failed_allocations(), failed_before + 1);
    EXPECT_TRUE(pair.is_closed());
    EXPECT_EQ(idle.take(address), nullptr);
  }
}

TEST(BufferPool, TakesABufferBackWithoutMemory) {
  BufferPool pool;
  auto buffer = pool.take();
  const char* const kept = buffer.get();
  fail_allocation_after(0);
  pool.give_back(std::move(buffer));
  spare_allocations();
  EXPECT_EQ(pool.take().get(), kept);
}

}  // namespace
}  // namespace gbgreg::net

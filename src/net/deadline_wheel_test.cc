#include "net/deadline_wheel.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "core/failing_memory.h"

namespace gbgreg::net {
namespace {

using std::chrono::milliseconds;

class Recorded final : public Deadline {
 public:
  explicit Recorded(int& fired) : fired_(fired) {}
  SteadyTime fired_at;
  Deadline* disarms = nullptr;

 private:
  void expired() override {
    ++fired_;
    fired_at = std::chrono::steady_clock::now();
    if (disarms != nullptr) disarms->disarm();
  }
  int& fired_;
};

TEST(DeadlineWheel, FiresOnceAndNeverEarly) {
  IoContext context;
  DeadlineWheel wheel(context);
  int fired = 0;
  Recorded deadline(fired);
  const auto armed_at = std::chrono::steady_clock::now();
  wheel.arm(deadline, milliseconds{120});
  context.run();  // Returns when the wheel stands still, that is when nothing is armed.
  EXPECT_EQ(fired, 1);
  EXPECT_GE(deadline.fired_at - armed_at, milliseconds{120});
  EXPECT_FALSE(deadline.armed());
}

TEST(DeadlineWheel, DoesNotFireWhatWasDisarmedOrDestroyed) {
  IoContext context;
  DeadlineWheel wheel(context);
  int fired = 0;
  Recorded kept(fired);
  Recorded disarmed(fired);
  auto destroyed = std::make_unique<Recorded>(fired);
  wheel.arm(disarmed, milliseconds{60});
  wheel.arm(*destroyed, milliseconds{60});
  wheel.arm(kept, milliseconds{60});
  disarmed.disarm();
  destroyed.reset();
  context.run();
  EXPECT_EQ(fired, 1);
}

TEST(DeadlineWheel, ArmingAgainMovesTheDeadline) {
  IoContext context;
  DeadlineWheel wheel(context);
  int fired = 0;
  Recorded deadline(fired);
  wheel.arm(deadline, milliseconds{60'000});
  const auto armed_at = std::chrono::steady_clock::now();
  wheel.arm(deadline, milliseconds{60});
  context.run();
  EXPECT_EQ(fired, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - armed_at, std::chrono::seconds{30});
}

TEST(DeadlineWheel, OneThatFiresMayDisarmItsNeighbour) {
  IoContext context;
  DeadlineWheel wheel(context);
  int fired = 0;
  Recorded first(fired);
  Recorded second(fired);
  first.disarms = &second;
  second.disarms = &first;
  wheel.arm(first, milliseconds{60});
  wheel.arm(second, milliseconds{60});
  context.run();
  EXPECT_EQ(fired, 1);
}

TEST(DeadlineWheel, TurnsAgainAfterThereWasNoMemoryToWait) {
  int failures = 0;
  for (int spared = 0; failures == spared; ++spared) {
    SCOPED_TRACE(spared);
    IoContext context;
    DeadlineWheel wheel(context);
    int fired = 0;
    Recorded first(fired);
    Recorded second(fired);
    fail_allocation_after(spared);
    try {
      wheel.arm(first, milliseconds{60});
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    spare_allocations();
    wheel.arm(second, milliseconds{60});
    context.run();
    EXPECT_EQ(fired, 2);
  }
  EXPECT_GE(failures, 1);
}

TEST(DeadlineWheel, WorksAgainAfterItStoodStill) {
  IoContext context;
  DeadlineWheel wheel(context);
  int fired = 0;
  Recorded deadline(fired);
  for (int round = 1; round <= 3; ++round) {
    wheel.arm(deadline, milliseconds{50});
    context.run();
    context.restart();
    EXPECT_EQ(fired, round);
  }
}

}  // namespace
}  // namespace gbgreg::net

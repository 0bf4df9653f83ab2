#include "fleet/fair_queue.h"

#include <gmock/gmock.h>

namespace gbgreg::fleet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

llm::CallerId caller(int number) { return static_cast<llm::CallerId>(number); }

class FairQueueTest : public testing::Test {
 protected:
  void push(int from, std::initializer_list<WaiterId> ids, milliseconds patience = seconds(100)) {
    for (const WaiterId id : ids) queue_.push({.id = id, .caller = caller(from), .deadline = now_ + patience}, now_);
  }
  std::vector<WaiterId> served() {
    std::vector<WaiterId> ids;
    while (!queue_.empty()) ids.push_back(queue_.pop().id);
    return ids;
  }

  FairQueue queue_;
  SteadyTime now_{seconds(1000)};
};

TEST_F(FairQueueTest, GivesTurnsToCallersAndKeepsTheOrderOfEach) {
  push(1, {11, 12, 13});
  push(2, {21});
  push(3, {31, 32});
  EXPECT_EQ(queue_.size(), 6);
  EXPECT_THAT(served(), ElementsAre(11, 21, 31, 12, 32, 13));
}

TEST_F(FairQueueTest, LetsACallerThatComesAgainStandBehindAllWhoWait) {
  push(1, {11, 12});
  push(2, {21, 22});
  EXPECT_EQ(queue_.pop().id, 11U);
  push(3, {31});
  push(1, {13});
  EXPECT_THAT(served(), ElementsAre(21, 12, 31, 22, 13));
}

TEST_F(FairQueueTest, DropsTheNewestOfWhoeverHasTheMost) {
  push(1, {11, 12, 13});
  push(2, {21, 22});
  EXPECT_EQ(queue_.pop_one_too_many(caller(2)).id, 13U);
  EXPECT_EQ(queue_.pop_one_too_many(caller(2)).id, 22U) << "of several the newcomer's own";
  EXPECT_EQ(queue_.pop_one_too_many(caller(9)).id, 12U);
  EXPECT_EQ(queue_.size(), 2);
  EXPECT_EQ(queue_.pop_one_too_many(caller(2)).id, 21U);
  EXPECT_THAT(served(), ElementsAre(11));
}

TEST_F(FairQueueTest, LetsSomeLeaveWithoutDisturbingTheTurns) {
  push(1, {11, 12});
  push(2, {21}, seconds(1));
  push(3, {31}, seconds(2));
  push(3, {32});
  EXPECT_EQ(queue_.next_deadline(), now_ + seconds(1));
  queue_.withdraw(11);
  queue_.withdraw(99);
  EXPECT_THAT(queue_.pop_late(now_), IsEmpty());
  EXPECT_THAT(queue_.pop_late(now_ + seconds(2)), ElementsAre(21, 31));
  EXPECT_EQ(queue_.size(), 2);
  EXPECT_THAT(served(), ElementsAre(12, 32));
  EXPECT_EQ(queue_.next_deadline(), SteadyTime::max());
}

TEST_F(FairQueueTest, EndsWithEverybodyGone) {
  push(1, {11, 12});
  push(2, {21});
  std::vector<WaiterId> ids;
  for (const Waiter& waiter : queue_.pop_all()) ids.push_back(waiter.id);
  EXPECT_THAT(ids, ElementsAre(11, 21, 12));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(FairQueueTest, KnowsHowManyTurnsGoBefore) {
  EXPECT_EQ(queue_.turns_before_next(caller(1), now_), 0);
  push(1, {11, 12, 13});
  EXPECT_EQ(queue_.turns_before_next(caller(1), now_), 3);
  EXPECT_EQ(queue_.turns_before_next(caller(2), now_), 1) << "a newcomer waits for one of each";
  push(2, {21});
  EXPECT_EQ(queue_.others_lately(caller(1), now_), 1);
  EXPECT_EQ(queue_.turns_before_next(caller(1), now_), 7) << "one of the other's now, and after each of its own";
  EXPECT_EQ(queue_.turns_before_next(caller(3), now_), 2);
}

TEST_F(FairQueueTest, CountsOnCallersForAWhileAfterTheyCame) {
  push(1, {11, 12});
  push(2, {21});
  queue_.withdraw(21);
  EXPECT_EQ(queue_.turns_before_next(caller(1), now_), 4);
  EXPECT_EQ(queue_.turns_before_next(caller(3), now_), 1) << "who does not wait is not before a newcomer";
  now_ += FairQueue::kRemembered;
  EXPECT_EQ(queue_.turns_before_next(caller(1), now_), 2);
  EXPECT_EQ(queue_.others_lately(caller(3), now_), 1) << "who waits counts however long that takes";
}

TEST_F(FairQueueTest, RemembersNoMoreCallersThanItsBound) {
  const int many = static_cast<int>(FairQueue::kRememberedMax) + 50;
  for (int i = 1; i <= many; ++i) {
    push(i, {static_cast<WaiterId>(i)});
    queue_.withdraw(static_cast<WaiterId>(i));
  }
  EXPECT_EQ(queue_.others_lately(caller(0), now_), static_cast<int>(FairQueue::kRememberedMax));
}

TEST(FairQueue, TellsWhoseTurnComesWhenWithoutTakingAnybodyOut) {
  FairQueue queue;
  const SteadyTime now{};
  const auto push = [&](int caller, WaiterId id) {
    queue.push({.id = id, .caller = static_cast<llm::CallerId>(caller)}, now);
  };
  for (const WaiterId id : {1, 2, 3}) push(1, id);
  push(2, 10);
  push(3, 20);
  push(2, 11);
  const auto ids = [](const std::vector<Waiter>& waiters) {
    std::vector<WaiterId> all;
    all.reserve(waiters.size());
    for (const Waiter& waiter : waiters) all.push_back(waiter.id);
    return all;
  };
  const std::vector<WaiterId> all = {1, 10, 20, 2, 11, 3};
  EXPECT_EQ(ids(queue.in_turn(100)), all);
  EXPECT_EQ(ids(queue.in_turn(2)), (std::vector<WaiterId>{1, 10}));
  EXPECT_TRUE(FairQueue().in_turn(5).empty());
  std::vector<WaiterId> popped;
  while (!queue.empty()) popped.push_back(queue.pop().id);
  EXPECT_EQ(popped, all) << "which is what was told";
}

}  // namespace
}  // namespace gbgreg::fleet

#include "fleet/admission.h"

#include <gtest/gtest.h>

namespace gbgreg::fleet {
namespace {

using llm::CallerId;
using llm::Priority;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SteadyTime kNow{seconds(1000)};
constexpr auto kOne = static_cast<CallerId>(1);
constexpr auto kOther = static_cast<CallerId>(2);

Waiter waiter(Priority priority = Priority::interactive, milliseconds patience = seconds(600)) {
  return {.id = 1, .priority = priority, .deadline = kNow + patience};
}

TEST(Admission, KnowsOfNoWaitBeforeTheFirstAnswer) {
  const Admission admission({.slots = 2});
  EXPECT_EQ(admission.wait_behind(1000), milliseconds(0));
}

TEST(Admission, ExpectsAWaitOfAnAnswerForEveryRoundOfTheSlots) {
  Admission admission({.slots = 2});
  admission.measured(1'000);
  EXPECT_EQ(admission.wait_behind(0), milliseconds(0));
  EXPECT_EQ(admission.wait_behind(1), milliseconds(0)) << "the second slot is free";
  EXPECT_EQ(admission.wait_behind(2), milliseconds(500));
  EXPECT_EQ(admission.wait_behind(5), milliseconds(2'000));
}

TEST(Admission, FollowsWhatIsMeasured) {
  Admission admission({.slots = 1});
  admission.measured(1'000);
  admission.measured(2'000);
  EXPECT_EQ(admission.wait_behind(1), milliseconds(1'200));
  for (int i = 0; i < 100; ++i) admission.measured(100);
  EXPECT_NEAR(static_cast<double>(admission.wait_behind(1).count()), 100, 1);
}

TEST(Admission, LetsWaitForAsLongAsTheObjectiveLeaves) {
  struct Case {
    const char* name;
    double slot_ms;
    milliseconds allowed;
  };
  const Case cases[] = {
      {"quick answers", 1'000, milliseconds(3'200)},
      {"answers that just keep the promise", 4'900, milliseconds(80)},
      {"answers that never do", 20'000, milliseconds(5'000)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Admission admission({.slots = 4});
    admission.measured(c.slot_ms);
    EXPECT_EQ(admission.wait_allowed(waiter(), kNow), c.allowed);
    EXPECT_EQ(admission.wait_allowed(waiter(Priority::batch), kNow), seconds(600));
    EXPECT_EQ(admission.wait_allowed(waiter(Priority::interactive, milliseconds(50)), kNow), milliseconds(50));
    EXPECT_EQ(admission.wait_allowed(waiter(Priority::batch, milliseconds(50)), kNow), milliseconds(50));
  }
}

TEST(Admission, LetsTheOwnerSayHowLong) {
  Admission at_most({.slots = 4, .wait_max = milliseconds(700)});
  at_most.measured(20'000);
  EXPECT_EQ(at_most.wait_allowed(waiter(), kNow), milliseconds(700));
  Admission unbounded({.slots = 4, .wait_max = Options::kNoBound});
  unbounded.measured(20'000);
  EXPECT_EQ(unbounded.wait_allowed(waiter(), kNow), seconds(600)) << "its deadline counts all the same";
}

TEST(Admission, TellsEachClientATimeOfItsOwn) {
  Admission admission({.slots = 2});
  admission.measured(3'000);
  // A place in 200 ms; from then on this caller has a turn every 3 s, for there are two callers.
  EXPECT_EQ(admission.retry_after_seconds(kOne, milliseconds(200), 2, kNow), 1);
  EXPECT_EQ(admission.retry_after_seconds(kOne, milliseconds(200), 2, kNow), 4);
  EXPECT_EQ(admission.retry_after_seconds(kOne, milliseconds(200), 2, kNow), 7);
  EXPECT_EQ(admission.retry_after_seconds(kOther, milliseconds(200), 2, kNow), 1) << "its turns are its own";
  // Once they have been here, or could have been, it begins anew.
  EXPECT_EQ(admission.retry_after_seconds(kOne, milliseconds(200), 2, kNow + seconds(30)), 1);
}

TEST(Admission, NeverSaysMoreThanAMinute) {
  Admission admission({.slots = 1});
  EXPECT_EQ(admission.retry_after_seconds(kOne, milliseconds(0), 1, kNow), 1) << "nothing is measured";
  admission.measured(30'000);
  EXPECT_EQ(admission.retry_after_seconds(kOther, seconds(45), 1, kNow), 45);
  EXPECT_EQ(admission.retry_after_seconds(kOther, seconds(45), 1, kNow), 60);
  EXPECT_EQ(admission.retry_after_seconds(kOther, seconds(45), 1, kNow), 60);
  EXPECT_EQ(admission.retry_after_seconds(kOther, seconds(600), 1, kNow + seconds(120)), 60);
}

TEST(Admission, KeepsNoMorePromisesInMindThanItsBound) {
  Admission admission({.slots = 1});
  admission.measured(1'000);
  for (int i = 1; i < 10'000; ++i) {
    EXPECT_EQ(admission.retry_after_seconds(static_cast<CallerId>(i), milliseconds(500), 1, kNow), 1);
  }
  EXPECT_EQ(admission.retry_after_seconds(kOne, milliseconds(500), 1, kNow), 1) << "it was forgotten";
}

}  // namespace
}  // namespace gbgreg::fleet

#include "fleet/scheduler.h"

#include <gmock/gmock.h>

namespace gbgreg::fleet {
namespace {

using llm::BackendState;
using llm::Priority;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// "start", "grant 3", "refuse 4 busy": what a test compares.
std::vector<std::string> words(const Actions& actions) {
  std::vector<std::string> all;
  for (const Action& action : actions) {
    if (std::holds_alternative<StartProcess>(action)) all.emplace_back("start");
    if (std::holds_alternative<AskToExit>(action)) all.emplace_back("ask to exit");
    if (std::holds_alternative<KillProcess>(action)) all.emplace_back("kill");
    if (std::holds_alternative<AbandonProcess>(action)) all.emplace_back("abandon");
    if (std::holds_alternative<CheckEngine>(action)) all.emplace_back("check");
    if (const auto* grant = std::get_if<Grant>(&action)) all.push_back("grant " + std::to_string(grant->waiter));
    if (const auto* refuse = std::get_if<Refuse>(&action)) {
      all.push_back("refuse " + std::to_string(refuse->waiter) + " " + std::string(kind_name(refuse->error.kind)));
    }
  }
  return all;
}

const Error& error_of(const Actions& actions) { return std::get<Refuse>(actions.back()).error; }

class SchedulerTest : public testing::Test {
 protected:
  static SchedulerOptions options() {
    return {.model = "demo", .model_file_name = "demo.gguf", .slots = 2, .queue_max = 3};
  }

  Actions ask(WaiterId id, Priority priority = Priority::interactive, milliseconds patience = seconds(300)) {
    return scheduler_.ask(now_, {.id = id, .priority = priority, .deadline = now_ + patience});
  }
  Actions ask_as(int caller, WaiterId id, Priority priority = Priority::interactive) {
    const auto who = static_cast<llm::CallerId>(caller);
    return scheduler_.ask(now_, {.id = id, .caller = who, .priority = priority, .deadline = now_ + seconds(300)});
  }
  Actions ask_again(WaiterId id, milliseconds patience = seconds(300)) {
    return scheduler_.ask(now_, {.id = id, .deadline = now_ + patience, .is_retry = true});
  }
  Actions release() { return scheduler_.release(now_, scheduler_.generation(), false); }
  Actions release_retry() { return scheduler_.release(now_, scheduler_.generation(), true); }
  void become_ready() {
    if (scheduler_.state() == BackendState::sleeping) scheduler_.start(now_);
    scheduler_.process_started(now_);
    scheduler_.process_ready(now_);
  }
  // Lets time pass in the steps that the scheduler asks for, and gathers what it does.
  Actions pass(milliseconds duration) {
    const SteadyTime end = now_ + duration;
    Actions all;
    while (const auto next = scheduler_.next_event()) {
      if (*next > end) break;
      now_ = std::max(now_, *next);
      for (Action& action : scheduler_.time_passed(now_)) all.push_back(std::move(action));
    }
    now_ = end;
    return all;
  }
  Actions crash() { return scheduler_.process_ended(now_, "exited with status 1", ""); }

  Scheduler scheduler_{options()};
  SteadyTime now_{seconds(1000)};
};

TEST_F(SchedulerTest, GoesFromSleepingToReadyAndToItsEnd) {
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  EXPECT_THAT(words(scheduler_.start(now_)), ElementsAre("start"));
  EXPECT_THAT(words(scheduler_.start(now_)), IsEmpty());
  scheduler_.process_started(now_);
  EXPECT_EQ(scheduler_.state(), BackendState::loading);
  EXPECT_EQ(scheduler_.slots_free(), 0);
  scheduler_.process_ready(now_);
  EXPECT_EQ(scheduler_.state(), BackendState::ready);
  EXPECT_EQ(scheduler_.slots_free(), 2);
  EXPECT_FALSE(scheduler_.next_event());
  EXPECT_THAT(words(scheduler_.stop(now_)), ElementsAre("ask to exit"));
  EXPECT_EQ(scheduler_.state(), BackendState::draining);
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
}

TEST_F(SchedulerTest, OneThatMayNotBeUsedIsFailedAndTriedAgainAfterTheLongestDelay) {
  scheduler_.start(now_);
  scheduler_.process_started(now_);
  ask(1);
  EXPECT_THAT(words(scheduler_.process_unfit(now_, "It runs on the processor.")),
              ElementsAre("kill", "refuse 1 unavailable"));
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_EQ(scheduler_.detail(), "It runs on the processor.");
  EXPECT_THAT(words(scheduler_.process_ready(now_)), IsEmpty());
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.detail(), "It runs on the processor.");
  const auto longest = options().restart_delay_max;
  EXPECT_THAT(words(pass(longest - milliseconds(1))), IsEmpty());
  EXPECT_THAT(words(pass(milliseconds(1))), ElementsAre("start"));
  scheduler_.process_started(now_);
  EXPECT_EQ(scheduler_.state(), BackendState::failed) << "while it is not known whether this one may be used";
  EXPECT_THAT(words(ask(2)), ElementsAre("refuse 2 unavailable"));
  scheduler_.process_ready(now_);
  EXPECT_EQ(scheduler_.state(), BackendState::ready);
  EXPECT_EQ(scheduler_.detail(), "");
}

TEST_F(SchedulerTest, WantsToStartForTheFirstRequest) {
  EXPECT_FALSE(scheduler_.wants_start());
  EXPECT_EQ(scheduler_.state(), llm::BackendState::sleeping);
  EXPECT_THAT(words(ask(1)), IsEmpty());
  EXPECT_TRUE(scheduler_.wants_start());
  EXPECT_EQ(scheduler_.waiting_since(), now_);
  EXPECT_THAT(words(scheduler_.start(now_)), ElementsAre("start"));
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 1"));
}

TEST_F(SchedulerTest, UnloadedItEndsWhatItDoesKeepsWhoWaitsAndSleeps) {
  become_ready();
  ask(1);
  ask(2);
  EXPECT_THAT(words(scheduler_.unload(now_)), IsEmpty());
  EXPECT_TRUE(scheduler_.leaves());
  EXPECT_EQ(scheduler_.slots_free(), 0);
  EXPECT_THAT(words(ask(3)), IsEmpty());
  EXPECT_THAT(words(release()), IsEmpty());
  EXPECT_EQ(scheduler_.lend(now_), 0);
  EXPECT_THAT(words(release()), ElementsAre("ask to exit"));
  EXPECT_EQ(scheduler_.state(), BackendState::draining);
  EXPECT_THAT(words(scheduler_.process_ended(now_, "exited with status 0", "")), IsEmpty());
  EXPECT_FALSE(scheduler_.leaves());
  EXPECT_TRUE(scheduler_.wants_start()) << "for the third, who still waits";
  EXPECT_EQ(scheduler_.restarts(), 0) << "it was told to";
  EXPECT_EQ(scheduler_.detail(), "demo waits until there is memory for it.");
  EXPECT_THAT(words(scheduler_.start(now_)), ElementsAre("start"));
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 3"));
}

TEST_F(SchedulerTest, UnloadedWithNothingToDoItEndsAtOnceAndIsNotMissed) {
  become_ready();
  EXPECT_THAT(words(scheduler_.unload(now_)), ElementsAre("ask to exit"));
  EXPECT_THAT(words(scheduler_.unload(now_)), IsEmpty());
  crash();
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  EXPECT_FALSE(scheduler_.wants_start());
  EXPECT_FALSE(scheduler_.next_event());
}

TEST_F(SchedulerTest, UnloadedWhileItLoadsItIsKilledSinceItDoesNotListenYet) {
  scheduler_.start(now_);
  EXPECT_THAT(words(scheduler_.unload(now_)), IsEmpty()) << "there is no process yet";
  EXPECT_THAT(words(scheduler_.process_started(now_)), ElementsAre("kill"));
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  EXPECT_EQ(scheduler_.restarts(), 0);
}

TEST_F(SchedulerTest, ThatDoesNotEndWhenUnloadedIsKilledAndThenStuckSinceItsMemoryIsNotFree) {
  become_ready();
  scheduler_.unload(now_);
  EXPECT_THAT(words(pass(options().stop_timeout)), ElementsAre("kill"));
  EXPECT_THAT(words(pass(options().stop_timeout)), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_THAT(words(ask(1)), ElementsAre("refuse 1 unavailable"));
}

TEST_F(SchedulerTest, RestartedItComesBackAndSoDoesOneThatHadBeenGivenUp) {
  become_ready();
  EXPECT_THAT(words(scheduler_.restart(now_)), ElementsAre("ask to exit"));
  EXPECT_THAT(words(crash()), ElementsAre("start"));
  become_ready();
  EXPECT_EQ(scheduler_.state(), BackendState::ready);
  EXPECT_THAT(words(scheduler_.restart(now_)), ElementsAre("ask to exit"));
  scheduler_.process_ended(now_, "exited with status 0", "");
  for (int i = 0; i < options().crashes_until_failed; ++i) {
    scheduler_.process_started(now_);
    crash();
    if (i + 1 < options().crashes_until_failed) pass(options().restart_delay_max);
  }
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_THAT(words(scheduler_.restart(now_)), ElementsAre("start"));
  EXPECT_EQ(scheduler_.state(), BackendState::loading);
}

TEST_F(SchedulerTest, ALentSlotThatComesBackBeforeItsGateIsClosedIsNotLost) {
  become_ready();
  ASSERT_EQ(scheduler_.lend(now_), 2);
  // Both are taken; somebody shuts the gate, and one comes back as a message.
  release();
  scheduler_.take_back(now_, 0);
  EXPECT_EQ(scheduler_.slots_free(), 1);
  release();
  EXPECT_EQ(scheduler_.slots_free(), 2);
}

TEST_F(SchedulerTest, ThatWouldNeverFitIsRefusedWithTheReason) {
  ask(1);
  EXPECT_THAT(words(scheduler_.refuse_start(now_, "It needs 8 GB.")), ElementsAre("refuse 1 unavailable"));
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_THAT(error_of(ask(2)).message, "It needs 8 GB.");
  EXPECT_THAT(words(scheduler_.start(now_)), ElementsAre("start"));
}

TEST_F(SchedulerTest, ThatMayFitAfterAllSleepsUntilItIsAskedFor) {
  scheduler_.refuse_start(now_, "It needs 8 GB.");
  EXPECT_THAT(words(scheduler_.reconsider(now_)), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  EXPECT_EQ(scheduler_.detail(), "");
  EXPECT_THAT(words(ask(1)), IsEmpty());
  EXPECT_TRUE(scheduler_.wants_start());
}

TEST_F(SchedulerTest, HandsOutAsManySlotsAsThereAre) {
  become_ready();
  EXPECT_THAT(words(ask(1)), ElementsAre("grant 1"));
  EXPECT_THAT(words(ask(2)), ElementsAre("grant 2"));
  EXPECT_THAT(words(ask(3)), IsEmpty());
  EXPECT_EQ(scheduler_.slots_free(), 0);
  EXPECT_EQ(scheduler_.queued(), 1);
  EXPECT_THAT(words(release()), ElementsAre("grant 3"));
  EXPECT_THAT(words(release()), IsEmpty());
  EXPECT_EQ(scheduler_.slots_free(), 1);
}

TEST_F(SchedulerTest, ServesInteractiveBeforeBatchAndEachInOrder) {
  become_ready();
  ask(1);
  ask(2);
  ask(3, Priority::batch);
  ask(4);
  ask(5);
  EXPECT_THAT(words(release()), ElementsAre("grant 4"));
  EXPECT_THAT(words(release()), ElementsAre("grant 5"));
  EXPECT_THAT(words(release()), ElementsAre("grant 3"));
}

TEST_F(SchedulerTest, RefusesOneRequestTooManyAndSaysWhenToComeBack) {
  SchedulerOptions unhurried = options();
  unhurried.queue_wait_max = Options::kNoBound;
  scheduler_ = Scheduler(unhurried);
  become_ready();
  scheduler_.request_succeeded(1, 4'000);
  for (WaiterId id = 1; id <= 5; ++id) ask(id);
  const Actions actions = ask(6);
  EXPECT_THAT(words(actions), ElementsAre("refuse 6 busy"));
  EXPECT_EQ(error_of(actions).code, "queue_full");
  EXPECT_EQ(error_of(actions).retry_after_seconds, 2);  // One of two slots is free each 2 s, and then a place is.
  EXPECT_EQ(error_of(ask(7)).retry_after_seconds, 4);   // The one before will have taken that place.
  EXPECT_EQ(scheduler_.queued(), 3);
}

TEST_F(SchedulerTest, GivesCallersTurnsWithinAPriority) {
  SchedulerOptions long_queue = options();
  long_queue.queue_max = 10;
  scheduler_ = Scheduler(long_queue);
  become_ready();
  for (WaiterId id = 1; id <= 5; ++id) ask_as(1, id);
  ask_as(2, 6);
  ask_as(2, 7, Priority::batch);
  ask_as(3, 8);
  EXPECT_THAT(words(release()), ElementsAre("grant 3"));
  EXPECT_THAT(words(release()), ElementsAre("grant 6"));
  EXPECT_THAT(words(release()), ElementsAre("grant 8"));
  EXPECT_THAT(words(release()), ElementsAre("grant 4"));
  EXPECT_THAT(words(release()), ElementsAre("grant 5"));
  EXPECT_THAT(words(release()), ElementsAre("grant 7"));
}

TEST_F(SchedulerTest, TakesAPlaceInAFullQueueFromTheCallerWithTheMost) {
  become_ready();
  for (WaiterId id = 1; id <= 5; ++id) ask_as(1, id);
  EXPECT_THAT(words(ask_as(2, 6)), ElementsAre("refuse 5 busy"));
  EXPECT_THAT(words(ask_as(2, 7)), ElementsAre("refuse 7 busy"));  // Now both have one more than the other would have.
  EXPECT_THAT(words(ask_as(3, 8)), ElementsAre("refuse 4 busy"));
  EXPECT_THAT(words(ask_as(4, 9)), ElementsAre("refuse 9 busy"));  // Nobody has more than one.
  EXPECT_THAT(words(release()), ElementsAre("grant 3"));
  EXPECT_THAT(words(release()), ElementsAre("grant 6"));
  EXPECT_THAT(words(release()), ElementsAre("grant 8"));
}

TEST_F(SchedulerTest, LetsNobodyWaitWhoseAnswerWouldBeLate) {
  SchedulerOptions long_queue = options();
  long_queue.queue_max = 100;
  scheduler_ = Scheduler(long_queue);
  become_ready();
  ask(1);
  ask(2);
  for (WaiterId id = 3; id <= 20; ++id) EXPECT_THAT(words(ask(id)), IsEmpty()) << "nothing is measured yet";
  for (WaiterId id = 3; id <= 20; ++id) scheduler_.withdraw(id);

  // Of 5 s an answer takes one, and of the rest four fifths are given away: 3.2 s, in which six of two slots are free.
  scheduler_.request_succeeded(1, 1'000);
  for (WaiterId id = 21; id <= 26; ++id) EXPECT_THAT(words(ask(id)), IsEmpty()) << id;
  const Actions actions = ask(27);
  EXPECT_THAT(words(actions), ElementsAre("refuse 27 busy"));
  EXPECT_EQ(error_of(actions).code, "wait_too_long");
  EXPECT_THAT(error_of(actions).message, HasSubstr("in about 4 s"));
  EXPECT_EQ(error_of(actions).retry_after_seconds, 1);
  EXPECT_THAT(words(ask(28, Priority::batch)), IsEmpty()) << "it has no objective";
  EXPECT_THAT(words(ask(29, Priority::batch, seconds(2))), ElementsAre("refuse 29 busy")) << "but may have a deadline";
  EXPECT_THAT(words(ask_again(30)), IsEmpty()) << "it has waited before";
}

TEST_F(SchedulerTest, LeavesAnotherCallerItsTurnsWhenItLetsOneWait) {
  SchedulerOptions long_queue = options();
  long_queue.queue_max = 100;
  scheduler_ = Scheduler(long_queue);
  become_ready();
  scheduler_.request_succeeded(1, 1'000);
  for (WaiterId id = 1; id <= 2; ++id) ask_as(1, id);
  ask_as(2, 3);
  EXPECT_THAT(words(release()), ElementsAre("grant 3"));
  // The other one has been served, and will come again: every turn of ours may mean one of its.
  for (WaiterId id = 4; id <= 6; ++id) EXPECT_THAT(words(ask_as(1, id)), IsEmpty()) << id;
  EXPECT_THAT(words(ask_as(1, 7)), ElementsAre("refuse 7 busy"));
  EXPECT_THAT(words(ask_as(2, 8)), IsEmpty());
  EXPECT_THAT(words(ask_as(3, 9)), IsEmpty());
  // After a while without it there are turns for six again.
  now_ += FairQueue::kRemembered;
  scheduler_.withdraw(8);
  scheduler_.withdraw(9);
  for (WaiterId id = 10; id <= 12; ++id) EXPECT_THAT(words(ask_as(1, id)), IsEmpty()) << id;
  EXPECT_THAT(words(ask_as(1, 13)), ElementsAre("refuse 13 busy"));
}

TEST_F(SchedulerTest, LetsAnInteractiveRequestTakeThePlaceOfTheNewestBatchOneInAFullQueue) {
  become_ready();
  ask(1);
  ask(2);
  for (WaiterId id = 3; id <= 5; ++id) ask(id, Priority::batch);
  EXPECT_THAT(words(ask(6, Priority::batch)), ElementsAre("refuse 6 busy"));
  const Actions actions = ask(7);
  EXPECT_THAT(words(actions), ElementsAre("refuse 5 busy"));
  EXPECT_TRUE(error_of(actions).retry_after_seconds);
  EXPECT_THAT(words(ask(8)), ElementsAre("refuse 4 busy"));
  EXPECT_THAT(words(ask(9)), ElementsAre("refuse 3 busy"));
  EXPECT_THAT(words(ask(10)), ElementsAre("refuse 10 busy"));
  EXPECT_EQ(scheduler_.queued(), 3);
  EXPECT_THAT(words(release()), ElementsAre("grant 7"));
}

TEST_F(SchedulerTest, NeedsNoQueueWhereASlotIsFree) {
  SchedulerOptions no_queue = options();
  no_queue.queue_max = 0;
  scheduler_ = Scheduler(no_queue);
  become_ready();
  EXPECT_THAT(words(ask(1)), ElementsAre("grant 1"));
  EXPECT_THAT(words(ask(2)), ElementsAre("grant 2"));
  EXPECT_THAT(words(ask(3)), ElementsAre("refuse 3 busy"));
}

TEST_F(SchedulerTest, TellsARequestWhenItsDeadlineHasPassed) {
  become_ready();
  ask(1);
  ask(2);
  ask(3, Priority::interactive, milliseconds(500));
  ask(4, Priority::batch, milliseconds(400));
  EXPECT_EQ(scheduler_.next_event(), now_ + milliseconds(400));
  EXPECT_THAT(words(pass(milliseconds(450))), ElementsAre("refuse 4 timed_out"));
  EXPECT_THAT(words(pass(milliseconds(100))), ElementsAre("refuse 3 timed_out"));
  EXPECT_EQ(scheduler_.queued(), 0);
  EXPECT_THAT(words(ask(5, Priority::interactive, milliseconds(0))), ElementsAre("refuse 5 timed_out"));
}

TEST_F(SchedulerTest, ForgetsARequestThatWasWithdrawn) {
  become_ready();
  ask(1);
  ask(2);
  ask(3);
  ask(4, Priority::batch);
  scheduler_.withdraw(3);
  scheduler_.withdraw(99);
  EXPECT_THAT(words(release()), ElementsAre("grant 4"));
}

TEST_F(SchedulerTest, KeepsRequestsWaitingWhileACrashedWorkerComesBack) {
  become_ready();
  ask(1);
  ask(2);
  ask(3);
  EXPECT_THAT(words(crash()), ElementsAre("start"));  // The first time at once.
  EXPECT_EQ(scheduler_.state(), BackendState::loading);
  EXPECT_EQ(scheduler_.restarts(), 1);
  EXPECT_EQ(scheduler_.queued(), 1);
  EXPECT_EQ(scheduler_.detail(), "The engine exited with status 1.");
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 3"));
  EXPECT_EQ(scheduler_.detail(), "");
}

TEST_F(SchedulerTest, ServesRetriesFirstAndRefusesNoneForAFullQueue) {
  become_ready();
  for (WaiterId id = 1; id <= 5; ++id) ask(id);
  EXPECT_THAT(words(crash()), ElementsAre("start"));
  EXPECT_THAT(words(ask_again(1)), IsEmpty());
  EXPECT_THAT(words(ask_again(2)), IsEmpty());
  EXPECT_EQ(scheduler_.queued(), 5);
  EXPECT_THAT(words(ask(6)), ElementsAre("refuse 6 busy"));
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 1", "grant 3"));
}

TEST_F(SchedulerTest, LetsOneRetryRunAtATime) {
  become_ready();
  ask(1);
  ask(2);
  crash();
  ask_again(1);
  ask_again(2);
  scheduler_.process_started(now_);
  const Actions actions = scheduler_.process_ready(now_);
  EXPECT_THAT(words(actions), ElementsAre("grant 1"));
  EXPECT_TRUE(std::get<Grant>(actions[0]).is_retry);
  const Actions beside = ask(3);  // The other slot is for whoever is not suspected of anything.
  EXPECT_THAT(words(beside), ElementsAre("grant 3"));
  EXPECT_FALSE(std::get<Grant>(beside[0]).is_retry);
  EXPECT_THAT(words(release()), IsEmpty());
  EXPECT_THAT(words(release_retry()), ElementsAre("grant 2"));
  EXPECT_THAT(words(ask_again(1)), IsEmpty());
  // It kills this life too, and the next one begins with nobody's retry.
  crash();
  pass(seconds(1));
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 1"));
}

TEST_F(SchedulerTest, RefusesExpiresAndForgetsRetriesLikeOthers) {
  become_ready();
  crash();
  ask_again(1, milliseconds(400));
  ask_again(2);
  ask_again(3);
  EXPECT_EQ(scheduler_.next_event(), now_ + milliseconds(400));
  scheduler_.process_started(now_);
  EXPECT_THAT(words(pass(milliseconds(400))), ElementsAre("refuse 1 timed_out"));
  scheduler_.withdraw(2);
  EXPECT_EQ(scheduler_.queued(), 1);
  EXPECT_THAT(words(scheduler_.stop(now_)), ElementsAre("refuse 3 unavailable", "kill"));
}

TEST_F(SchedulerTest, BoundsTheRetriesThatWait) {
  for (int id = 1; id <= Scheduler::kRetriesMax; ++id) ask_again(static_cast<WaiterId>(id));
  EXPECT_THAT(words(ask_again(999)), ElementsAre("refuse 999 busy"));
  EXPECT_EQ(scheduler_.queued(), Scheduler::kRetriesMax);
}

TEST_F(SchedulerTest, FreesNoSlotOfTheNewLifeForALeaseOnTheOldOne) {
  become_ready();
  ask(1);
  ask(2);
  crash();
  become_ready();
  EXPECT_EQ(scheduler_.generation(), 2U);
  ask(3);
  ask(4);
  ask(5);
  EXPECT_THAT(words(scheduler_.release(now_, 1, false)), IsEmpty());
  EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), IsEmpty());
  EXPECT_THAT(words(release()), ElementsAre("grant 5"));
}

TEST_F(SchedulerTest, WaitsLongerAfterEachCrashUpToABound) {
  const milliseconds want[] = {milliseconds(0),      milliseconds(250),   milliseconds(500),   milliseconds(1'000),
                               milliseconds(2'000),  milliseconds(4'000), milliseconds(8'000), milliseconds(16'000),
                               milliseconds(30'000), milliseconds(30'000)};
  become_ready();
  for (const milliseconds delay : want) {
    SCOPED_TRACE(delay.count());
    const Actions at_once = crash();
    if (delay.count() == 0) {
      EXPECT_THAT(words(at_once), ElementsAre("start"));
    } else {
      EXPECT_THAT(words(at_once), IsEmpty());
      EXPECT_THAT(words(pass(delay - milliseconds(1))), IsEmpty());
      EXPECT_THAT(words(pass(milliseconds(1))), ElementsAre("start"));
    }
    become_ready();
    EXPECT_EQ(scheduler_.state(), BackendState::ready);  // It was ready in between, so it never counts as failed.
  }
}

TEST_F(SchedulerTest, ForgivesCrashesAfterALongLife) {
  become_ready();
  crash();
  become_ready();
  EXPECT_THAT(words(crash()), IsEmpty());
  pass(seconds(1));
  become_ready();
  pass(seconds(60));
  EXPECT_THAT(words(crash()), ElementsAre("start"));
}

TEST_F(SchedulerTest, ForgivesCrashesAfterAnAnswerOfTheSameLife) {
  become_ready();
  crash();
  become_ready();
  scheduler_.request_succeeded(scheduler_.generation() - 1, 5);  // A late report of the life before says nothing.
  EXPECT_THAT(words(crash()), IsEmpty());
  pass(seconds(1));
  become_ready();
  scheduler_.request_succeeded(scheduler_.generation(), 5);
  EXPECT_THAT(words(crash()), ElementsAre("start"));
}

TEST_F(SchedulerTest, FailsWhenItNeverBecomesReadyAndGoesOnTrying) {
  ask(1);
  for (int crashes = 1; crashes <= 4; ++crashes) {
    scheduler_.process_started(now_);
    crash();
    EXPECT_EQ(scheduler_.state(), BackendState::loading);
    EXPECT_EQ(scheduler_.queued(), 1);
    pass(seconds(2));
  }
  scheduler_.process_started(now_);
  const Actions actions = scheduler_.process_ended(now_, "exited with status 1", "failed to read key-value pairs");
  EXPECT_THAT(words(actions), ElementsAre("refuse 1 unavailable"));
  EXPECT_EQ(error_of(actions).retry_after_seconds, 2);
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_EQ(scheduler_.detail(),
            "The engine exited with status 1 while loading demo.gguf; its last words: failed to read key-value pairs.");
  EXPECT_EQ(error_of(actions).detail, scheduler_.detail());
  EXPECT_THAT(error_of(actions).message, HasSubstr("demo"));

  EXPECT_THAT(words(ask(2)), ElementsAre("refuse 2 unavailable"));
  EXPECT_THAT(words(pass(seconds(2))), ElementsAre("start"));
  EXPECT_THAT(words(ask(3)), ElementsAre("refuse 3 unavailable"));  // Still: it has not shown that it can.
  become_ready();
  EXPECT_EQ(scheduler_.state(), BackendState::ready);
  EXPECT_THAT(words(ask(4)), ElementsAre("grant 4"));
}

TEST_F(SchedulerTest, SaysWhatIsMissingAndHealsWhenItIsThere) {
  scheduler_.start(now_);
  ask(1);
  const std::string sentence = "The model file demo.gguf is missing: put it back.";
  EXPECT_THAT(words(scheduler_.process_not_started(now_, sentence)), ElementsAre("refuse 1 unavailable"));
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_EQ(scheduler_.detail(), sentence);
  EXPECT_EQ(scheduler_.restarts(), 0);
  EXPECT_THAT(words(pass(seconds(5))), ElementsAre("start"));
  scheduler_.process_started(now_);
  EXPECT_EQ(scheduler_.state(), BackendState::loading);
  EXPECT_THAT(words(ask(2)), IsEmpty());
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 2"));
}

TEST_F(SchedulerTest, EndsALoadThatStandsStillButNotASlowOne) {
  scheduler_.start(now_);
  scheduler_.process_started(now_);
  for (const double progress : {0.1, 0.2, 0.3}) {
    EXPECT_THAT(words(pass(seconds(100))), IsEmpty());
    scheduler_.process_loads(now_, progress);
  }
  EXPECT_EQ(scheduler_.detail(), "demo.gguf is loading: 30 %.");
  scheduler_.process_loads(now_ + seconds(50), 0.3);  // Says something, but gets nowhere.
  EXPECT_THAT(words(pass(seconds(120))), ElementsAre("kill"));
  EXPECT_THAT(words(pass(seconds(1))), IsEmpty());
  EXPECT_THAT(words(scheduler_.process_ended(now_, "was ended by signal 9 (Killed)", "")), ElementsAre("start"));
  EXPECT_EQ(scheduler_.detail(), "The engine did not get on with loading demo.gguf for 120 s and was ended.");
}

TEST_F(SchedulerTest, HandsOutNothingForAMomentAfterAFailedRequest) {
  become_ready();
  ask(1);
  EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), IsEmpty());
  release();
  EXPECT_THAT(words(ask(2)), IsEmpty());
  EXPECT_THAT(words(pass(Scheduler::kSuspicion)), ElementsAre("grant 2"));  // It lives.

  scheduler_.request_failed(now_, 1);
  EXPECT_THAT(words(ask(3)), IsEmpty());
  EXPECT_THAT(words(crash()), ElementsAre("start"));  // It was dying: the request waits for the next life.
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 3"));
}

TEST_F(SchedulerTest, RestartsAWorkerThatOnlyFails) {
  become_ready();
  for (int i = 0; i < 4; ++i) EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), IsEmpty());
  scheduler_.request_succeeded(1, 100);
  for (int i = 0; i < 4; ++i) EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), IsEmpty());
  EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), ElementsAre("kill"));
  EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), IsEmpty());
  EXPECT_THAT(words(ask(1)), IsEmpty());  // Nothing more for one that is about to end.
  crash();
  EXPECT_EQ(scheduler_.detail(), "The engine failed 5 requests in a row and was ended.");
}

TEST_F(SchedulerTest, ChecksTheEngineWhileItHasRequests) {
  become_ready();
  EXPECT_FALSE(scheduler_.next_event());
  ask(1);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(words(pass(milliseconds(1'999))), IsEmpty());
    EXPECT_THAT(words(pass(milliseconds(1))), ElementsAre("check"));
    EXPECT_FALSE(scheduler_.next_event());  // One at a time.
    EXPECT_THAT(words(scheduler_.engine_answered(now_, 1)), IsEmpty());
  }
  release();
  EXPECT_THAT(words(pass(seconds(60))), IsEmpty());
  EXPECT_FALSE(scheduler_.next_event());
}

TEST_F(SchedulerTest, RestartsAnEngineThatMissesItsChecks) {
  become_ready();
  ask(1);
  EXPECT_THAT(words(pass(seconds(2))), ElementsAre("check"));
  now_ += seconds(5);
  EXPECT_THAT(words(scheduler_.engine_missed_check(now_, 1)), IsEmpty());
  EXPECT_EQ(scheduler_.detail(), "The engine has not answered the last check.");
  // Perhaps it hangs: nothing more for it, and the next check at once.
  EXPECT_THAT(words(ask(2)), IsEmpty());
  EXPECT_THAT(words(pass(milliseconds(0))), ElementsAre("check"));
  EXPECT_THAT(words(scheduler_.engine_answered(now_, 1)), ElementsAre("grant 2"));  // It does not.
  EXPECT_EQ(scheduler_.detail(), "");

  // Its clients may lose patience meanwhile: that changes nothing.
  EXPECT_THAT(words(pass(seconds(2))), ElementsAre("check"));
  release();
  release();
  scheduler_.engine_missed_check(now_, 1);  // Refused at once: then the next one keeps its distance.
  EXPECT_THAT(words(pass(milliseconds(1'999))), IsEmpty());
  EXPECT_THAT(words(pass(milliseconds(1))), ElementsAre("check"));
  scheduler_.engine_missed_check(now_, 1);
  EXPECT_THAT(words(pass(seconds(2))), ElementsAre("check"));
  EXPECT_THAT(words(scheduler_.engine_missed_check(now_, 1)), ElementsAre("kill"));
  EXPECT_THAT(words(ask(3)), IsEmpty());
  EXPECT_THAT(words(crash()), ElementsAre("start"));
  EXPECT_EQ(scheduler_.detail(), "The engine did not answer 3 checks in a row and was ended.");
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 3"));
}

TEST_F(SchedulerTest, TakesNoCheckOfAnEarlierLifeForTheNextOne) {
  become_ready();
  ask(1);
  EXPECT_THAT(words(pass(seconds(2))), ElementsAre("check"));
  crash();
  EXPECT_THAT(words(scheduler_.engine_missed_check(now_, 1)), IsEmpty());
  become_ready();
  ask(2);
  for (int i = 0; i < 5; ++i) scheduler_.engine_missed_check(now_, 1);
  EXPECT_EQ(scheduler_.detail(), "");
  EXPECT_THAT(words(pass(seconds(2))), ElementsAre("check"));
  scheduler_.engine_answered(now_, 1);
  EXPECT_FALSE(scheduler_.next_event());  // Its own answer has not come yet.
}

TEST_F(SchedulerTest, CountsARequestThatFailedSeveralTimesOnce) {
  become_ready();
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), IsEmpty());
    scheduler_.request_failed_again(now_, 1);
    scheduler_.request_failed_again(now_, 1);
  }
  EXPECT_THAT(words(ask(1)), IsEmpty());  // It is suspected all the same.
  EXPECT_THAT(words(scheduler_.request_failed(now_, 1)), ElementsAre("kill"));
}

TEST_F(SchedulerTest, GivesUpOnAProcessThatStaysAfterItWasKilled) {
  become_ready();
  ask(1);
  for (int i = 0; i < 5; ++i) scheduler_.request_failed(now_, 1);
  EXPECT_THAT(words(ask(2)), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::loading);  // It is about to be started again.
  EXPECT_EQ(scheduler_.slots_free(), 0);
  EXPECT_THAT(words(pass(milliseconds(2'999))), IsEmpty());
  const Actions actions = pass(milliseconds(1));
  EXPECT_THAT(words(actions), ElementsAre("refuse 2 unavailable"));
  EXPECT_THAT(error_of(actions).message, HasSubstr("does not end"));
  EXPECT_THAT(error_of(actions).detail, HasSubstr("failed 5 requests in a row"));
  EXPECT_TRUE(error_of(actions).retry_after_seconds);
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_THAT(scheduler_.detail(), HasSubstr("its process has not ended"));
  EXPECT_THAT(words(ask(3)), ElementsAre("refuse 3 unavailable"));
  EXPECT_FALSE(scheduler_.next_event());

  // It came out of the driver after all.
  EXPECT_THAT(words(crash()), ElementsAre("start"));
  EXPECT_EQ(scheduler_.state(), BackendState::loading);
  EXPECT_THAT(words(ask(4)), IsEmpty());
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.process_ready(now_)), ElementsAre("grant 4"));
}

TEST_F(SchedulerTest, GivesUpOnALoadThatStaysAfterItWasKilled) {
  ask(1);
  scheduler_.start(now_);
  scheduler_.process_started(now_);
  EXPECT_THAT(words(pass(seconds(123))), ElementsAre("kill", "refuse 1 unavailable"));
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  // It said that it was ready before it was gone: that is no longer true.
  EXPECT_THAT(words(scheduler_.process_ready(now_)), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_THAT(words(scheduler_.stop(now_)), IsEmpty());
  EXPECT_THAT(words(pass(seconds(6))), ElementsAre("abandon"));
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
}

TEST_F(SchedulerTest, RefusesEverybodyWhenItStops) {
  become_ready();
  for (WaiterId id = 1; id <= 4; ++id) ask(id);
  EXPECT_THAT(words(scheduler_.stop(now_)), ElementsAre("refuse 3 unavailable", "refuse 4 unavailable", "ask to exit"));
  EXPECT_THAT(words(ask(5)), ElementsAre("refuse 5 unavailable"));
  EXPECT_THAT(words(scheduler_.stop(now_)), IsEmpty());
  EXPECT_THAT(words(scheduler_.start(now_)), IsEmpty());
}

TEST_F(SchedulerTest, GetsLessPoliteWithAnEngineThatDoesNotExit) {
  become_ready();
  scheduler_.stop(now_);
  EXPECT_THAT(words(pass(milliseconds(2'999))), IsEmpty());
  EXPECT_THAT(words(pass(milliseconds(1))), ElementsAre("kill"));
  EXPECT_EQ(scheduler_.state(), BackendState::draining);
  EXPECT_THAT(words(pass(seconds(3))), ElementsAre("abandon"));
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
  EXPECT_FALSE(scheduler_.next_event());
}

TEST_F(SchedulerTest, KillsAnEngineThatStillLoadsBecauseItDoesNotListen) {
  scheduler_.start(now_);
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.stop(now_)), ElementsAre("kill"));
  crash();
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
}

TEST_F(SchedulerTest, StopsAtOnceWhenThereIsNoProcess) {
  become_ready();
  crash();
  become_ready();
  crash();  // Waits to be restarted.
  EXPECT_THAT(words(scheduler_.stop(now_)), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
  EXPECT_FALSE(scheduler_.next_event());
}

TEST_F(SchedulerTest, LendsItsFreeSlotsWhileItIsWellAndNobodyWaits) {
  EXPECT_EQ(scheduler_.lend(now_), 0) << "it is not ready";
  become_ready();
  EXPECT_THAT(words(ask(1)), ElementsAre("grant 1"));
  EXPECT_EQ(scheduler_.lend(now_), 1);
  EXPECT_EQ(scheduler_.lend(now_), 0);
  EXPECT_EQ(scheduler_.slots_free(), 0);
  release();
  EXPECT_EQ(scheduler_.lend(now_), 1) << "what came back in between";
  scheduler_.request_failed(now_, scheduler_.generation());
  EXPECT_THAT(words(scheduler_.take_back(now_, 2)), IsEmpty());
  EXPECT_EQ(scheduler_.lend(now_), 0) << "it may be dying";
  pass(Scheduler::kSuspicion);
  EXPECT_EQ(scheduler_.lend(now_), 2);
}

TEST_F(SchedulerTest, WhatIsTakenBackIsHandedOutAndWhatIsOutIsBusy) {
  become_ready();
  EXPECT_EQ(scheduler_.lend(now_), 2);
  // One of the two is out when somebody has to wait.
  scheduler_.take_back(now_, 1);
  EXPECT_THAT(words(ask(1)), ElementsAre("grant 1"));
  EXPECT_THAT(words(ask(2)), IsEmpty());
  EXPECT_EQ(scheduler_.lend(now_), 0) << "somebody waits";
  EXPECT_THAT(words(release()), ElementsAre("grant 2"));
}

TEST_F(SchedulerTest, ABusySlotMayComeBackAmongTheLentOnes) {
  become_ready();
  ask(1);
  EXPECT_EQ(scheduler_.lend(now_), 1);
  scheduler_.take_back(now_, 2);
  EXPECT_EQ(scheduler_.slots_free(), 2);
  EXPECT_EQ(scheduler_.lend(now_), 2);
}

TEST_F(SchedulerTest, AsksForSignsOfLifeWhenALentSlotIsOut) {
  become_ready();
  EXPECT_EQ(scheduler_.lend(now_), 2);
  now_ += SchedulerOptions{}.check_interval;
  EXPECT_THAT(words(scheduler_.time_passed(now_, 2)), IsEmpty()) << "both are there";
  now_ += SchedulerOptions{}.check_interval;
  EXPECT_THAT(words(scheduler_.time_passed(now_, 1)), ElementsAre("check"));
  scheduler_.engine_answered(now_, scheduler_.generation());
  EXPECT_TRUE(scheduler_.next_event());
}

TEST_F(SchedulerTest, OneThatRetiresFinishesWhatItDoesAndHasNoOtherLife) {
  become_ready();
  ask(1);
  ask(2);
  EXPECT_THAT(words(scheduler_.retire(now_)), IsEmpty());
  EXPECT_TRUE(scheduler_.leaves());
  EXPECT_EQ(scheduler_.slots_free(), 0);
  EXPECT_EQ(scheduler_.lend(now_), 0);
  EXPECT_THAT(words(release()), IsEmpty());
  EXPECT_THAT(words(release()), ElementsAre("ask to exit"));
  EXPECT_NE(scheduler_.state(), BackendState::stopped);
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
  EXPECT_FALSE(scheduler_.is_asleep());
}

TEST_F(SchedulerTest, OneThatDiesWhileItRetiresIsNotStartedAgain) {
  become_ready();
  ask(1);
  scheduler_.retire(now_);
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
}

TEST_F(SchedulerTest, OneThatLoadsOrWaitsForItsStartRetiresAtOnce) {
  scheduler_.start(now_);
  scheduler_.process_started(now_);
  EXPECT_THAT(words(scheduler_.retire(now_)), ElementsAre("kill"));
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);

  Scheduler failing(options());
  failing.start(now_);
  failing.process_not_started(now_, "Its file is missing.");
  EXPECT_EQ(failing.state(), BackendState::failed);
  EXPECT_THAT(words(failing.retire(now_)), IsEmpty());
  EXPECT_EQ(failing.state(), BackendState::stopped);
  EXPECT_FALSE(failing.next_event());

  Scheduler asleep(options());
  asleep.retire(now_);
  EXPECT_EQ(asleep.state(), BackendState::stopped);
}

TEST_F(SchedulerTest, OneThatIsStuckRetiresWhenItsProcessIsGone) {
  become_ready();
  ask(1);
  scheduler_.engine_missed_check(now_, scheduler_.generation());
  for (int i = 0; i < options().failures_until_restart; ++i) scheduler_.request_failed(now_, scheduler_.generation());
  pass(options().stop_timeout);
  ASSERT_EQ(scheduler_.state(), BackendState::failed) << "stuck";
  EXPECT_THAT(words(scheduler_.retire(now_)), IsEmpty());
  EXPECT_NE(scheduler_.state(), BackendState::stopped) << "it keeps its memory";
  EXPECT_THAT(words(crash()), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::stopped);
}

TEST_F(SchedulerTest, HandsOnAllWhoWaitInTheirTurns) {
  become_ready();
  ask(1);
  ask(2);
  ask(3, Priority::batch);
  ask(4);
  ask_again(5);
  std::vector<WaiterId> ids;
  for (const Waiter& waiter : scheduler_.take_waiting()) ids.push_back(waiter.id);
  EXPECT_THAT(ids, ElementsAre(5, 4, 3));
  EXPECT_EQ(scheduler_.queued(), 0);
  EXPECT_THAT(words(release()), IsEmpty());
}

TEST_F(SchedulerTest, AdoptsOtherBoundsAndKeepsItsSlots) {
  become_ready();
  ask(1);
  ask(2);
  ask(3);
  SchedulerOptions other = options();
  other.queue_max = 1;
  other.slots = 9;
  scheduler_.adopt(other);
  EXPECT_EQ(scheduler_.slots_free(), 0);
  EXPECT_EQ(error_of(ask(4)).code, "queue_full");
}

TEST_F(SchedulerTest, ForgivenItSleepsAndStartsAtOnceWhenItIsTold) {
  scheduler_.start(now_);
  scheduler_.process_not_started(now_, "Its file is missing.");
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  EXPECT_TRUE(scheduler_.is_delayed());
  scheduler_.forgive();
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  EXPECT_EQ(scheduler_.detail(), "");
  EXPECT_FALSE(scheduler_.next_event());
  EXPECT_THAT(words(ask(1)), IsEmpty()) << "who comes may wait for it";
  EXPECT_THAT(words(scheduler_.start(now_)), ElementsAre("start"));
}

TEST_F(SchedulerTest, ForgivenForgetsAStartThatWasRefusedAndTheCrashesBefore) {
  scheduler_.refuse_start(now_, "It needs 8 GB.");
  scheduler_.forgive();
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  scheduler_.start(now_);
  for (int i = 0; i < options().crashes_until_failed; ++i) {
    scheduler_.process_started(now_);
    crash();
    pass(options().restart_delay_max);
  }
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
  scheduler_.process_started(now_);
  scheduler_.forgive();
  EXPECT_EQ(scheduler_.state(), BackendState::loading) << "the try that is under way may go well";
  EXPECT_THAT(words(crash()), ElementsAre("start")) << "at once, as after a first crash";
}

TEST_F(SchedulerTest, ForgivesNoProcessThatDoesNotEnd) {
  become_ready();
  scheduler_.unload(now_);
  pass(2 * options().stop_timeout);
  ASSERT_EQ(scheduler_.state(), BackendState::failed);
  scheduler_.forgive();
  EXPECT_EQ(scheduler_.state(), BackendState::failed);
}

TEST_F(SchedulerTest, UnloadedAfterAFailureItIsTriedNoMoreUntilSomebodyAsks) {
  scheduler_.start(now_);
  scheduler_.process_not_started(now_, "Its file is missing.");
  EXPECT_THAT(words(scheduler_.unload(now_)), IsEmpty());
  EXPECT_EQ(scheduler_.state(), BackendState::sleeping);
  EXPECT_THAT(words(pass(seconds(100))), IsEmpty());
  EXPECT_FALSE(scheduler_.wants_start());
  EXPECT_THAT(words(ask(1)), IsEmpty());
  EXPECT_TRUE(scheduler_.wants_start());
}

TEST_F(SchedulerTest, ShowsWhoWaitsInTheOrderInWhichTheyAreServed) {
  ask(1, Priority::batch);
  now_ += seconds(2);
  ask(2, Priority::interactive, seconds(7));
  scheduler_.ask(now_, {.id = 3, .is_retry = true});
  now_ += seconds(1);
  const llm::QueueView queue = scheduler_.queue(now_);
  EXPECT_EQ(queue.interactive, 1);
  EXPECT_EQ(queue.batch, 1);
  EXPECT_EQ(queue.retries, 1);
  ASSERT_EQ(queue.first.size(), 3U);
  EXPECT_TRUE(queue.first[0].is_retry);
  EXPECT_EQ(queue.first[0].deadline_in_ms, std::nullopt);
  EXPECT_EQ(queue.first[1].priority, Priority::interactive);
  EXPECT_EQ(queue.first[1].waited_ms, 1000);
  EXPECT_EQ(queue.first[1].deadline_in_ms, 6000);
  EXPECT_EQ(queue.first[2].priority, Priority::batch);
  EXPECT_EQ(queue.first[2].waited_ms, 3000);
}

TEST_F(SchedulerTest, ShowsNoMoreOfThemThanItsBound) {
  SchedulerOptions many = options();
  many.queue_max = 1000;
  Scheduler scheduler(many);
  for (WaiterId id = 1; id <= 2 * kWaitersShownMax; ++id) {
    const Priority priority = id % 4 == 0 ? Priority::batch : Priority::interactive;
    scheduler.ask(now_, {.id = id, .priority = priority});
  }
  const llm::QueueView queue = scheduler.queue(now_);
  EXPECT_EQ(queue.first.size(), kWaitersShownMax);
  EXPECT_EQ(queue.interactive + queue.batch, static_cast<int>(2 * kWaitersShownMax));
}

}  // namespace
}  // namespace gbgreg::fleet

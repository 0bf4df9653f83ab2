#include "fleet/server_scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gbgreg::fleet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr SteadyTime kStart{std::chrono::hours(1)};

Error failure(Kind kind, const char* code, std::optional<int> retry_after = {}) {
  return {.kind = kind, .code = code, .message = "It is not well.", .retry_after_seconds = retry_after};
}
const Error kBroken = failure(Kind::backend_failed, "backend_failed");
const Error kGone = failure(Kind::unavailable, "backend_unreachable");

class ServerSchedulerTest : public testing::Test {
 protected:
  ServerSchedulerTest() { scheduler_.check_passed(kStart); }
  Actions ask(WaiterId id) { return scheduler_.ask(kStart, {.id = id, .deadline = kStart + seconds(60)}); }
  // A request of the present generation does.
  Actions fails(const Error& why) { return scheduler_.request_failed(kStart, scheduler_.generation(), why); }
  static int grants(const Actions& actions) {
    return static_cast<int>(
        std::ranges::count_if(actions, [](const Action& one) { return std::holds_alternative<Grant>(one); }));
  }
  static Error refused(const Actions& actions) {
    for (const Action& one : actions) {
      if (const auto* refuse = std::get_if<Refuse>(&one)) return refuse->error;
    }
    return {};
  }

  ServerScheduler scheduler_{{.server = "den", .slots = 2, .queue_max = 2}, kStart};
};

TEST_F(ServerSchedulerTest, AsksTheServerFirstAndKeepsRequestsUntilItHasAnswered) {
  ServerScheduler fresh({.server = "den", .slots = 2}, kStart);
  EXPECT_EQ(fresh.state(), llm::BackendState::loading);
  EXPECT_TRUE(std::holds_alternative<CheckEngine>(fresh.time_passed(kStart).at(0)));
  EXPECT_TRUE(fresh.time_passed(kStart).empty());  // One check at a time.
  EXPECT_TRUE(fresh.ask(kStart, {.id = 1, .deadline = kStart + seconds(9)}).empty());
  EXPECT_EQ(grants(fresh.check_passed(kStart)), 1);
  EXPECT_EQ(fresh.state(), llm::BackendState::ready);
}

TEST_F(ServerSchedulerTest, GivesItsSlotsAndThenPlacesInTheQueue) {
  EXPECT_EQ(grants(ask(1)), 1);
  EXPECT_EQ(grants(ask(2)), 1);
  EXPECT_TRUE(ask(3).empty());
  EXPECT_TRUE(ask(4).empty());
  EXPECT_EQ(refused(ask(5)).code, "queue_full");
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 1);
  EXPECT_EQ(scheduler_.queued(), 1);
}

TEST_F(ServerSchedulerTest, LendsWhatIsFreeAndCountsWhatCameBack) {
  EXPECT_EQ(scheduler_.lend(kStart), 2);
  EXPECT_EQ(scheduler_.lend(kStart), 0);
  scheduler_.take_back(kStart, 1);
  EXPECT_EQ(scheduler_.slots_free(), 1);
}

TEST_F(ServerSchedulerTest, RefusesAtOnceWhileNobodyIsThereAndSaysWhenItLooksAgain) {
  ask(1);
  ask(2);
  ask(3);
  EXPECT_EQ(refused(fails(kGone)).kind, Kind::unavailable);  // Who waits hears it, too.
  EXPECT_EQ(scheduler_.state(), llm::BackendState::unreachable);
  EXPECT_EQ(scheduler_.detail(), "The server den: It is not well.");
  EXPECT_EQ(scheduler_.lend(kStart), 0);
  const Error error = refused(ask(4));
  EXPECT_EQ(error.code, "backend_unreachable");
  EXPECT_EQ(error.retry_after_seconds, 1);
}

TEST_F(ServerSchedulerTest, LetsOneRequestTryOnceACheckHasPassed) {
  fails(kGone);
  scheduler_.check_passed(kStart);
  EXPECT_EQ(scheduler_.lend(kStart), 0);
  EXPECT_EQ(grants(ask(1)), 1);
  EXPECT_EQ(grants(ask(2)), 0);
  scheduler_.request_succeeded(scheduler_.generation(), 10);
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 1);
  EXPECT_EQ(scheduler_.detail(), "");
}

TEST_F(ServerSchedulerTest, LetsExactlyOneRequestTryHoweverManyWereUnderWayAndAreAsked) {
  ask(1);
  ask(2);
  const auto before = scheduler_.generation();
  fails(kGone);
  scheduler_.check_passed(kStart);
  EXPECT_EQ(scheduler_.breaker(), Breaker::State::half_open);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::ready);
  EXPECT_EQ(grants(ask(3)), 1);                               // Though both slots of before are still out.
  EXPECT_EQ(scheduler_.state(), llm::BackendState::loading);  // Who has another backend goes there …
  EXPECT_EQ(grants(ask(4)), 0);                               // … and who has none waits.
  // What becomes of those of before says nothing.
  EXPECT_EQ(grants(scheduler_.request_failed(kStart, before, kGone)), 0);
  EXPECT_EQ(scheduler_.breaker(), Breaker::State::half_open);
  EXPECT_EQ(grants(scheduler_.release(kStart, before)), 0);
  scheduler_.request_succeeded(before, 10);
  EXPECT_EQ(scheduler_.breaker(), Breaker::State::half_open);
  EXPECT_EQ(grants(scheduler_.release(kStart, before)), 0);
  scheduler_.request_succeeded(scheduler_.generation(), 10);
  EXPECT_EQ(scheduler_.breaker(), Breaker::State::closed);
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 1);
}

TEST_F(ServerSchedulerTest, LetsTheNextOneTryWhenTheFirstEndsWithoutAWord) {
  fails(kGone);
  scheduler_.check_passed(kStart);
  ask(1);
  ask(2);
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 1);  // Its client has left.
  EXPECT_EQ(scheduler_.breaker(), Breaker::State::half_open);
}

TEST_F(ServerSchedulerTest, CountsTheSlotsOfBeforeOnceItIsWellAgain) {
  ask(1);
  ask(2);
  const auto before = scheduler_.generation();
  fails(kGone);
  scheduler_.check_passed(kStart);
  ask(3);
  scheduler_.request_succeeded(scheduler_.generation(), 10);
  scheduler_.release(kStart, scheduler_.generation());
  EXPECT_EQ(scheduler_.slots_free(), 0);
  scheduler_.release(kStart, before);
  EXPECT_EQ(scheduler_.slots_free(), 1);
}

TEST_F(ServerSchedulerTest, TakesAModelThatIsNotThereForNoFailureOfTheServer) {
  for (int i = 0; i < 5; ++i) fails(failure(Kind::backend_failed, "backend_has_no_model"));
  EXPECT_EQ(scheduler_.state(), llm::BackendState::ready);
}

TEST_F(ServerSchedulerTest, TakesABusyAnswerToACheckForASignOfLife) {
  scheduler_.check_failed(kStart, failure(Kind::busy, "backend_busy", 3));
  EXPECT_EQ(scheduler_.breaker(), Breaker::State::closed);
  EXPECT_EQ(refused(ask(1)).retry_after_seconds, 3);
}

TEST_F(ServerSchedulerTest, LooksAgainSoonAfterACheckThatFailed) {
  scheduler_.check_failed(kStart, kBroken);
  EXPECT_EQ(scheduler_.next_event(), kStart + Breaker::kDelayMin);
  scheduler_.check_failed(kStart, kBroken);
  scheduler_.check_failed(kStart, kBroken);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::unreachable);
}

TEST_F(ServerSchedulerTest, OpensAfterThreeBrokenAnswersOnly) {
  fails(kBroken);
  fails(kBroken);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::ready);
  fails(kBroken);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::unreachable);
}

TEST_F(ServerSchedulerTest, LeavesABusyServerAloneForAsLongAsItSays) {
  fails(failure(Kind::busy, "backend_busy", 7));
  const Error error = refused(ask(1));
  EXPECT_EQ(error.kind, Kind::busy);
  EXPECT_EQ(error.retry_after_seconds, 7);
  scheduler_.time_passed(kStart + seconds(7));
  EXPECT_EQ(grants(scheduler_.ask(kStart + seconds(7), {.id = 2})), 1);
  fails(failure(Kind::busy, "backend_busy", 100'000));
  EXPECT_EQ(refused(ask(3)).retry_after_seconds, ServerScheduler::kRetryAfterSecondsMax);
}

TEST_F(ServerSchedulerTest, TellsARefusedKeyAsAFailureAndNotAsTheClients) {
  fails(failure(Kind::backend_failed, "backend_key_refused"));
  EXPECT_EQ(refused(ask(1)).kind, Kind::backend_failed);
  EXPECT_EQ(refused(ask(1)).code, "backend_key_refused");
}

TEST_F(ServerSchedulerTest, ShowsItsBreakerAndRemembersItsLastErrorWhenItIsWellAgain) {
  EXPECT_EQ(scheduler_.server(kStart).breaker, "closed");
  EXPECT_EQ(scheduler_.server(kStart).last_error, "");
  EXPECT_EQ(scheduler_.server(kStart).last_error_ago_ms, std::nullopt);
  fails(kBroken);
  EXPECT_EQ(scheduler_.server(kStart).breaker, "closed");
  EXPECT_EQ(scheduler_.server(kStart).failures, 1);
  fails(kGone);
  EXPECT_EQ(scheduler_.server(kStart).breaker, "open");
  EXPECT_EQ(scheduler_.server(kStart + milliseconds(200)).check_in_ms, 300);
  EXPECT_EQ(scheduler_.server(kStart + seconds(9)).check_in_ms, 0) << "it is due";
  scheduler_.check_passed(kStart + seconds(1));
  EXPECT_EQ(scheduler_.server(kStart + seconds(1)).breaker, "half_open");
  scheduler_.request_succeeded(scheduler_.generation(), 10);
  const llm::ServerState shown = scheduler_.server(kStart + seconds(3));
  EXPECT_EQ(shown.breaker, "closed");
  EXPECT_EQ(shown.failures, 0);
  EXPECT_EQ(shown.last_error, "It is not well.");
  EXPECT_EQ(shown.last_error_ago_ms, 3000);
}

TEST_F(ServerSchedulerTest, RefusesEverybodyWhenItStops) {
  ask(1);
  ask(2);
  ask(3);
  EXPECT_EQ(refused(scheduler_.stop(kStart)).kind, Kind::unavailable);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::stopped);
  EXPECT_EQ(scheduler_.next_event(), std::nullopt);
}

TEST_F(ServerSchedulerTest, GivesNewSlotsToThoseWhoWaitForThem) {
  ask(1);
  ask(2);
  ask(3);
  EXPECT_EQ(grants(scheduler_.adopt(kStart, {.server = "den", .slots = 3, .queue_max = 2})), 1);
  // Fewer of them come back unused.
  ask(4);
  EXPECT_EQ(grants(scheduler_.adopt(kStart, {.server = "den", .slots = 1, .queue_max = 2})), 0);
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 0);
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 0);
  EXPECT_EQ(grants(scheduler_.release(kStart, scheduler_.generation())), 1);
}

TEST_F(ServerSchedulerTest, AsksAnewWhenWhatItKnewCountsNoMore) {
  fails(kGone);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::unreachable);
  scheduler_.forget_how_it_was(kStart);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::loading);
  EXPECT_TRUE(std::holds_alternative<CheckEngine>(scheduler_.time_passed(kStart).at(0)));
  EXPECT_TRUE(ask(1).empty());
  EXPECT_EQ(grants(scheduler_.check_passed(kStart)), 1);
}

}  // namespace
}  // namespace gbgreg::fleet

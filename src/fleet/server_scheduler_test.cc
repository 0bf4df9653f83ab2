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
  EXPECT_EQ(grants(scheduler_.release(kStart)), 1);
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
  EXPECT_EQ(refused(scheduler_.request_failed(kStart, kGone)).kind, Kind::unavailable);  // Who waits hears it, too.
  EXPECT_EQ(scheduler_.state(), llm::BackendState::unreachable);
  EXPECT_EQ(scheduler_.detail(), "The server den: It is not well.");
  EXPECT_EQ(scheduler_.lend(kStart), 0);
  const Error error = refused(ask(4));
  EXPECT_EQ(error.code, "backend_unreachable");
  EXPECT_EQ(error.retry_after_seconds, 1);
}

TEST_F(ServerSchedulerTest, LetsOneRequestTryOnceACheckHasPassed) {
  scheduler_.request_failed(kStart, kGone);
  scheduler_.check_passed(kStart);
  EXPECT_EQ(scheduler_.lend(kStart), 0);
  EXPECT_EQ(grants(ask(1)), 1);
  EXPECT_EQ(grants(ask(2)), 0);
  scheduler_.request_succeeded(10);
  EXPECT_EQ(grants(scheduler_.release(kStart)), 1);
  EXPECT_EQ(scheduler_.detail(), "");
}

TEST_F(ServerSchedulerTest, OpensAfterThreeBrokenAnswersOnly) {
  scheduler_.request_failed(kStart, kBroken);
  scheduler_.request_failed(kStart, kBroken);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::ready);
  scheduler_.request_failed(kStart, kBroken);
  EXPECT_EQ(scheduler_.state(), llm::BackendState::unreachable);
}

TEST_F(ServerSchedulerTest, LeavesABusyServerAloneForAsLongAsItSays) {
  scheduler_.request_failed(kStart, failure(Kind::busy, "backend_busy", 7));
  const Error error = refused(ask(1));
  EXPECT_EQ(error.kind, Kind::busy);
  EXPECT_EQ(error.retry_after_seconds, 7);
  scheduler_.time_passed(kStart + seconds(7));
  EXPECT_EQ(grants(scheduler_.ask(kStart + seconds(7), {.id = 2})), 1);
  scheduler_.request_failed(kStart, failure(Kind::busy, "backend_busy", 100'000));
  EXPECT_EQ(refused(ask(3)).retry_after_seconds, ServerScheduler::kRetryAfterSecondsMax);
}

TEST_F(ServerSchedulerTest, TellsARefusedKeyAsAFailureAndNotAsTheClients) {
  scheduler_.request_failed(kStart, failure(Kind::backend_failed, "backend_key_refused"));
  EXPECT_EQ(refused(ask(1)).kind, Kind::backend_failed);
  EXPECT_EQ(refused(ask(1)).code, "backend_key_refused");
}

TEST_F(ServerSchedulerTest, ShowsItsBreakerAndRemembersItsLastErrorWhenItIsWellAgain) {
  EXPECT_EQ(scheduler_.server(kStart).breaker, "closed");
  EXPECT_EQ(scheduler_.server(kStart).last_error, "");
  EXPECT_EQ(scheduler_.server(kStart).last_error_ago_ms, std::nullopt);
  scheduler_.request_failed(kStart, kBroken);
  EXPECT_EQ(scheduler_.server(kStart).breaker, "closed");
  EXPECT_EQ(scheduler_.server(kStart).failures, 1);
  scheduler_.request_failed(kStart, kGone);
  EXPECT_EQ(scheduler_.server(kStart).breaker, "open");
  EXPECT_EQ(scheduler_.server(kStart + milliseconds(200)).check_in_ms, 300);
  EXPECT_EQ(scheduler_.server(kStart + seconds(9)).check_in_ms, 0) << "it is due";
  scheduler_.check_passed(kStart + seconds(1));
  EXPECT_EQ(scheduler_.server(kStart + seconds(1)).breaker, "half_open");
  scheduler_.request_succeeded(10);
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

}  // namespace
}  // namespace gbgreg::fleet

#include "fleet/breaker.h"

#include <gtest/gtest.h>

namespace gbgreg::fleet {
namespace {

using State = Breaker::State;
constexpr SteadyTime kStart{std::chrono::hours(1)};

Breaker closed() {
  Breaker breaker(kStart);
  breaker.check_passed(kStart);
  return breaker;
}

TEST(Breaker, IsOpenUntilTheFirstCheckPasses) {
  Breaker breaker(kStart);
  EXPECT_EQ(breaker.state(), State::open);
  EXPECT_EQ(breaker.check_at(), kStart);
  breaker.check_passed(kStart);
  EXPECT_EQ(breaker.state(), State::closed);
}

TEST(Breaker, OpensAfterThreeFailuresInARow) {
  Breaker breaker = closed();
  breaker.request_failed(kStart);
  breaker.request_failed(kStart);
  breaker.request_succeeded();
  breaker.request_failed(kStart);
  breaker.request_failed(kStart);
  EXPECT_EQ(breaker.state(), State::closed);
  breaker.request_failed(kStart);
  EXPECT_EQ(breaker.state(), State::open);
}

TEST(Breaker, OpensAtOnceWhenNobodyIsThere) {
  Breaker breaker = closed();
  breaker.cannot_be_used(kStart);
  EXPECT_EQ(breaker.state(), State::open);
}

TEST(Breaker, WaitsLongerEachTimeUpToABound) {
  Breaker breaker = closed();
  breaker.cannot_be_used(kStart);
  auto delay = Breaker::kDelayMin;
  SteadyTime now = kStart;
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(breaker.check_at(), now + delay);
    now = breaker.check_at();
    breaker.check_failed(now);
    delay = std::min(delay * 2, Breaker::kDelayMax);
  }
  EXPECT_EQ(delay, Breaker::kDelayMax);
}

TEST(Breaker, LetsOneRequestTryAfterACheckAndClosesWhenItSucceeds) {
  Breaker breaker = closed();
  breaker.cannot_be_used(kStart);
  breaker.check_passed(kStart);
  EXPECT_EQ(breaker.state(), State::half_open);
  breaker.request_succeeded();
  EXPECT_EQ(breaker.state(), State::closed);
  breaker.cannot_be_used(kStart);
  EXPECT_EQ(breaker.check_at(), kStart + Breaker::kDelayMin);
}

TEST(Breaker, OpensForLongerWhenTheOneRequestFails) {
  Breaker breaker = closed();
  breaker.cannot_be_used(kStart);
  breaker.check_passed(kStart);
  breaker.request_failed(kStart);
  EXPECT_EQ(breaker.state(), State::open);
  EXPECT_EQ(breaker.check_at(), kStart + 2 * Breaker::kDelayMin);
}

TEST(Breaker, TakesAnAnswerThatWasUnderWayWhenItOpenedForNoSign) {
  Breaker breaker = closed();
  breaker.cannot_be_used(kStart);
  breaker.request_succeeded();
  EXPECT_EQ(breaker.state(), State::open);
}

}  // namespace
}  // namespace gbgreg::fleet

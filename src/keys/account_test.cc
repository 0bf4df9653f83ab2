#include "keys/account.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace gbgreg::keys {
namespace {

using namespace std::chrono_literals;

// Noon of a day, by both clocks.
const Moment kNoon{.steady = SteadyTime{1'000h}, .wall = WallTime{std::chrono::days{20'000} + 12h}};

Moment after(Moment moment, std::chrono::nanoseconds passed) {
  return {.steady = moment.steady + std::chrono::duration_cast<SteadyTime::duration>(passed),
          .wall = moment.wall + std::chrono::duration_cast<WallTime::duration>(passed)};
}

bool reserves(Account& account, std::int64_t tokens, Moment now, Reserved& into) {
  return !account.reserve(tokens, now, into);
}

TEST(Account, WithoutLimitsAdmitsEverythingAndCounts) {
  Account account({}, kNoon);
  Reserved reserved;
  for (int i = 0; i < 1000; ++i) ASSERT_FALSE(account.admit(kNoon));
  ASSERT_TRUE(reserves(account, kPerDayMax, kNoon, reserved));
  account.settle(reserved, 7, kNoon);
  const Usage usage = account.usage(kNoon);
  EXPECT_EQ(usage.requests, 1000);
  EXPECT_EQ(usage.tokens, 7);
  EXPECT_EQ(usage.used_at, kNoon.wall);
  EXPECT_FALSE(account.standing(kNoon).requests);
  EXPECT_FALSE(account.standing(kNoon).tokens);
}

TEST(Account, SaysWhichLimitAndForHowLong) {
  Account account({.requests_per_minute = 2, .tokens_per_minute = 600, .tokens_per_day = 1000}, kNoon);
  Reserved first, second, third;
  EXPECT_FALSE(account.admit(kNoon));
  EXPECT_FALSE(account.admit(kNoon));
  const auto requests = account.admit(kNoon);
  ASSERT_TRUE(requests);
  EXPECT_EQ(requests->bound, Bound::requests_per_minute);
  EXPECT_EQ(requests->wait, 30s);

  ASSERT_TRUE(reserves(account, 590, kNoon, first));
  const auto tokens = account.reserve(20, kNoon, second);
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->bound, Bound::tokens_per_minute);
  EXPECT_EQ(tokens->wait, 1s);
  EXPECT_FALSE(tokens->is_for_ever);
  ASSERT_TRUE(reserves(account, 20, after(kNoon, 1s), second));

  const auto today = account.reserve(400, after(kNoon, 10min), third);
  ASSERT_TRUE(today);
  EXPECT_EQ(today->bound, Bound::tokens_per_day);
  EXPECT_EQ(today->wait, 12h - 10min);
  EXPECT_FALSE(today->is_for_ever);
}

TEST(Account, WhatIsMoreThanAWholeLimitIsRefusedForEver) {
  Account by_minute({.tokens_per_minute = 600}, kNoon), by_day({.tokens_per_day = 600}, kNoon);
  for (Account* account : {&by_minute, &by_day}) {
    Reserved reserved;
    const auto refused = account->reserve(601, kNoon, reserved);
    ASSERT_TRUE(refused);
    EXPECT_TRUE(refused->is_for_ever);
    EXPECT_EQ(refused->limit, 600);
    EXPECT_TRUE(reserves(*account, 600, kNoon, reserved));
  }
}

TEST(Account, ReservesAllOrNothing) {
  Account account({.tokens_per_minute = 100, .tokens_per_day = 1000}, kNoon);
  Reserved reserved;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(reserves(account, 101, kNoon, reserved));
  EXPECT_EQ(account.usage(kNoon).tokens, 0) << "the minute refused, so the day has lost nothing";
}

TEST(Account, SettlesByWhatWasUsed) {
  Account account({.tokens_per_minute = 600, .tokens_per_day = 1000}, kNoon);
  Reserved reserved;
  ASSERT_TRUE(reserves(account, 500, kNoon, reserved));
  EXPECT_EQ(account.standing(kNoon).tokens->left, 100);
  account.settle(reserved, 100, kNoon);
  EXPECT_EQ(account.standing(kNoon).tokens->left, 500);
  ASSERT_TRUE(reserves(account, 10, kNoon, reserved));
  account.settle(reserved, 890, kNoon);  // It used far more than anybody thought.
  EXPECT_EQ(account.usage(kNoon).tokens, 990);
  EXPECT_FALSE(reserves(account, 1, kNoon, reserved));
  EXPECT_FALSE(reserves(account, 0, kNoon, reserved)) << "a debt is paid first";
  EXPECT_TRUE(reserves(account, 1, after(kNoon, 2min), reserved));
}

TEST(Account, ADayHasItsOwnTokensAndOneMidnight) {
  Account account({.tokens_per_day = 100}, kNoon);
  Reserved of_yesterday, reserved;
  ASSERT_TRUE(reserves(account, 100, kNoon, of_yesterday));
  const Moment before = after(kNoon, 12h - 1ns), midnight = after(kNoon, 12h);
  EXPECT_FALSE(reserves(account, 1, before, reserved));
  ASSERT_TRUE(reserves(account, 40, midnight, reserved));
  account.settle(of_yesterday, 90, midnight);  // Of a page that is turned.
  EXPECT_EQ(account.usage(midnight).tokens, 40);
  EXPECT_FALSE(reserves(account, 61, before, reserved)) << "a clock that is put back gives no second budget";
  EXPECT_TRUE(reserves(account, 60, before, reserved));
  const Moment long_ago = after(kNoon, -72h);
  EXPECT_TRUE(reserves(account, 100, long_ago, reserved)) << "a clock that was ahead by days is believed";
}

TEST(Account, GoesOnAfterARestartWhereItWas) {
  const Limits limits{.requests_per_minute = 60, .tokens_per_minute = 600, .tokens_per_day = 1000};
  Account before(limits, kNoon);
  Reserved reserved;
  for (int i = 0; i < 60; ++i) ASSERT_FALSE(before.admit(kNoon));
  ASSERT_TRUE(reserves(before, 600, kNoon, reserved));
  const Usage kept = before.usage(kNoon);

  const Moment again{.steady = SteadyTime{5s}, .wall = kNoon.wall + 10s};  // Another process, ten seconds later.
  Account after_restart(limits, again);
  after_restart.restore(kept, again);
  EXPECT_EQ(after_restart.standing(again).requests->left, 10);
  EXPECT_EQ(after_restart.standing(again).tokens->left, 100);
  EXPECT_EQ(after_restart.usage(again).tokens, 600);
  EXPECT_EQ(after_restart.usage(again).requests, 60);

  Account tomorrow(limits, after(again, 24h));
  tomorrow.restore(kept, after(again, 24h));
  EXPECT_EQ(tomorrow.usage(after(again, 24h)).tokens, 0);
  EXPECT_EQ(tomorrow.standing(after(again, 24h)).requests->left, 60);
}

// Time stands still, so there is exactly one right answer, whatever the threads do.
TEST(Account, ManyThreadsAreGivenWhatOneWouldBeGiven) {
  constexpr int kThreads = 8, kEach = 50'000;
  constexpr std::int64_t kRequests = 100'000, kTokens = 1'000'000, kOfOne = 7;
  Account account({.requests_per_minute = kRequests, .tokens_per_minute = kTokens}, kNoon);
  std::atomic<std::int64_t> admitted = 0, reserved_tokens = 0;
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kEach; ++j) {
        Reserved reserved;
        if (!account.admit(kNoon)) ++admitted;
        if (reserves(account, kOfOne, kNoon, reserved)) reserved_tokens += kOfOne;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(admitted, kRequests);
  EXPECT_EQ(reserved_tokens, kTokens / kOfOne * kOfOne);
}

// Every answer turns out longer than it was thought to be; the budget breaks by no more than what is under way.
TEST(Account, ABudgetIsOverspentByNoMoreThanWasInFlight) {
  constexpr int kThreads = 8;
  constexpr std::int64_t kBudget = 1'000'000, kThought = 10, kUsed = 25;
  Account account({.tokens_per_day = kBudget}, kNoon);
  std::atomic<std::int64_t> used = 0;
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Reserved reserved;
      while (reserves(account, kThought, kNoon, reserved)) {
        account.settle(reserved, kUsed, kNoon);
        used += kUsed;
      }
    });
  }
  threads.clear();
  EXPECT_GT(used, kBudget - kUsed);
  EXPECT_LE(used, kBudget + kThreads * (kUsed - kThought));
  EXPECT_EQ(account.usage(kNoon).tokens, used);
}

}  // namespace
}  // namespace gbgreg::keys

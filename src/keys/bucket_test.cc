#include "keys/bucket.h"

#include <gtest/gtest.h>

#include <limits>

namespace gbgreg::keys {
namespace {

using namespace std::chrono_literals;

const SteadyTime kStart{1'000h};

TEST(Bucket, GivesAMinutesWorthAtOnceAndThenAsItIsFilled) {
  Bucket bucket(60, kStart);
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(bucket.has(1, kStart)) << i;
    bucket.take(1, kStart);
  }
  EXPECT_EQ(bucket.until(1, kStart), 1s);
  EXPECT_EQ(bucket.until(60, kStart), 60s);
  EXPECT_FALSE(bucket.has(1, kStart + 999'999us));
  EXPECT_TRUE(bucket.has(1, kStart + 1s));
  EXPECT_EQ(bucket.left(kStart + 30s), 30);
  EXPECT_EQ(bucket.left(kStart + 24h), 60) << "it never holds more than a minute's worth";
}

TEST(Bucket, LosesNothingToRoundingHoweverOftenItIsAsked) {
  Bucket bucket(7, kStart);
  bucket.take(7, kStart);
  SteadyTime now = kStart;
  for (int i = 0; i < 1'000'003; ++i) {
    now += 59'999ns;  // Never a whole number of microseconds.
    (void)bucket.has(1, now);
  }
  // 59.999 s have passed: 6.9999 are there.
  EXPECT_EQ(bucket.left(now), 6);
  EXPECT_EQ(bucket.until(7, kStart + 60s), 0us);
}

TEST(Bucket, ADebtIsFilledUpFirst) {
  Bucket bucket(60, kStart);
  bucket.take(100, kStart);
  EXPECT_EQ(bucket.left(kStart), 0);
  EXPECT_EQ(bucket.until(0, kStart), 40s);
  EXPECT_EQ(bucket.until(1, kStart), 41s);
  bucket.give_back(70, kStart);
  EXPECT_EQ(bucket.left(kStart), 30);
  bucket.give_back(1'000, kStart);
  EXPECT_EQ(bucket.left(kStart), 60);
}

TEST(Bucket, WhatItWasCanBeTakenUpAgain) {
  for (const std::int64_t taken : {0, 1, 59, 60, 100, 100'000}) {
    Bucket before(60, kStart);
    before.take(taken, kStart);
    Bucket after(60, SteadyTime{});
    after.restore(before.until_full(kStart), SteadyTime{});
    EXPECT_EQ(after.until(60, SteadyTime{}), before.until(60, kStart)) << taken;
    EXPECT_EQ(after.left(SteadyTime{}), before.left(kStart)) << taken;
  }
  Bucket bucket(1, kStart);
  bucket.restore(Bucket::Micros::max(), kStart);
  EXPECT_FALSE(bucket.has(1, kStart + 1000h));
  bucket.restore(Bucket::Micros::min(), kStart);
  EXPECT_TRUE(bucket.has(1, kStart));
}

TEST(Bucket, OverflowsNowhere) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t per_minute : {std::int64_t{1}, kPerMinuteMax}) {
    Bucket bucket(per_minute, kStart);
    for (int i = 0; i < 100; ++i) bucket.take(kMost, kStart);
    EXPECT_FALSE(bucket.has(1, kStart));
    EXPECT_GT(bucket.until(per_minute, kStart), 0us);
    EXPECT_GT(bucket.until_full(kStart), 0us);
    for (int i = 0; i < 1000; ++i) bucket.give_back(kMost, kStart);
    EXPECT_EQ(bucket.left(kStart), per_minute);
    EXPECT_EQ(bucket.left(SteadyTime::max()), per_minute);
  }
}

TEST(Bucket, TimeThatGoesBackFillsNothingTwice) {
  Bucket bucket(60, kStart);
  bucket.take(60, kStart);
  EXPECT_EQ(bucket.left(kStart + 10s), 10);
  EXPECT_EQ(bucket.left(kStart), 10);
  EXPECT_EQ(bucket.left(kStart + 10s), 10);
}

}  // namespace
}  // namespace gbgreg::keys

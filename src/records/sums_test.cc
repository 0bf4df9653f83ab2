#include "records/sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gbgreg::records {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

storage::RequestRow answer(double total_ms = 1'000) {
  return {.route = "POST /api/generate",
          .role = "technical",
          .model = "demo",
          .device = "CPU",
          .status = 200,
          .prompt_tokens = 10,
          .completion_tokens = 20,
          .queue_ms = 1,
          .ttft_ms = 100,
          .total_ms = total_ms,
          .objective_ms = 5'000};
}

storage::RequestRow refusal(std::int64_t status) {
  return {.route = "POST /api/generate", .status = status, .total_ms = 0.1};
}

TEST(Sum, AddsUpWhatModelsAnsweredAndCountsTheRest) {
  Sum sum;
  sum.add(answer(1'000));
  sum.add(answer(6'000));
  sum.add(refusal(429));
  EXPECT_EQ(sum.requests, 3);
  EXPECT_EQ(sum.errors, 1);
  EXPECT_EQ(sum.prompt_tokens, 20);
  EXPECT_EQ(sum.completion_tokens, 40);
  EXPECT_EQ(sum.generation_ms, 900 + 5'900);
  EXPECT_EQ(sum.with_objective, 2);
  EXPECT_EQ(sum.objective_met, 1);
  EXPECT_EQ(sum.total.count(), 2U) << "a refusal is no answer";
}

TEST(Sum, AnAnswerThatBrokeIsAnErrorAndNoLatency) {
  Sum sum;
  storage::RequestRow broken = answer();
  broken.status = 502;
  sum.add(broken);
  EXPECT_EQ(sum.errors, 1);
  EXPECT_EQ(sum.total.count(), 0U);
  EXPECT_EQ(sum.with_objective, 0);
  EXPECT_EQ(sum.completion_tokens, 20) << "they were made";
}

TEST(Sum, OfRowsIsTheSumOfWhatTheyStandFor) {
  Sum first, second, both;
  first.add(answer(10));
  second.add(answer(20));
  second.add(refusal(503));
  for (const auto& row : {answer(10), answer(20), refusal(503)}) both.add(row);
  Sum together;
  ASSERT_TRUE(together.add(first.row()));
  ASSERT_TRUE(together.add(second.row()));
  EXPECT_EQ(together, both);
  storage::RollupRow unreadable = first.row();
  unreadable.total = "nonsense";
  EXPECT_EQ(together.add(unreadable).error().code, "rollup_unreadable");
  EXPECT_EQ(together, both);
}

TEST(CountsFor, LeavesOutWhatDoesNotApply) {
  EXPECT_THAT(counts_for(refusal(429)),
              ElementsAre(Pair("all", ""), Pair("route", "POST /api/generate"), Pair("status", "429")));
  storage::RequestRow row = answer();
  row.key_id = "k1";
  EXPECT_THAT(counts_for(row), SizeIs(kDimensions.size()));
}

TEST(MinuteSums, AreWrittenWholeWheneverTheyChange) {
  MinuteSums sums("w");
  sums.add(refusal(503), 125);
  sums.add(refusal(503), 179);
  auto rows = sums.changed();
  ASSERT_THAT(rows, SizeIs(3));
  for (const auto& row : rows) {
    EXPECT_EQ(row.start, 120);
    EXPECT_EQ(row.requests, 2);
    EXPECT_EQ(row.writer, "w.1");
  }
  EXPECT_EQ(sums.changed(), rows) << "as long as they were not written";
  sums.written();
  EXPECT_THAT(sums.changed(), IsEmpty());
  sums.add(refusal(429), 130);
  rows = sums.changed();
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows.front().dimension, "all");
  EXPECT_EQ(rows.front().requests, 3);
}

TEST(MinuteSums, WhatComesLateForAMinuteThatIsForgottenIsASumOfItsOwn) {
  MinuteSums sums("w");
  sums.add(refusal(503), 60);
  sums.forget_before(120);
  EXPECT_THAT(sums.changed(), SizeIs(3)) << "not before it is written";
  sums.written();
  sums.forget_before(120);
  sums.add(refusal(503), 61);
  const auto rows = sums.changed();
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows.front().requests, 1);
  EXPECT_EQ(rows.front().start, 60);
  EXPECT_EQ(rows.front().writer, "w.2");
}

}  // namespace
}  // namespace gbgreg::records

#include "fleet/figures.h"

#include <gtest/gtest.h>

namespace gbgreg::fleet {
namespace {

TEST(Figures, SayNothingBeforeTheFirstAnswer) {
  const Figures figures;
  EXPECT_FALSE(figures.tokens_per_second());
  EXPECT_FALSE(figures.total_p95_ms());
}

TEST(Figures, SmoothTheSpeedOfGeneration) {
  Figures figures;
  const llm::Usage fast{.completion_tokens = 100, .generation_ms = 1000};
  const llm::Usage slow{.completion_tokens = 50, .generation_ms = 1000};
  figures.add(fast, 1200);
  EXPECT_DOUBLE_EQ(*figures.tokens_per_second(), 100);
  figures.add(slow, 1200);
  EXPECT_DOUBLE_EQ(*figures.tokens_per_second(), 90);
}

TEST(Figures, TakeNoSpeedFromAnAnswerWithoutGeneration) {
  Figures figures;
  figures.add({.completion_tokens = 1, .generation_ms = 0}, 5);
  EXPECT_FALSE(figures.tokens_per_second());
  EXPECT_DOUBLE_EQ(*figures.total_p95_ms(), 5);
}

TEST(Figures, KnowTheFastestOfTheLastAnswersThatWereLongEnough) {
  Figures figures;
  EXPECT_FALSE(figures.tokens_per_second_best());
  figures.add({.completion_tokens = 4, .generation_ms = 1}, 5);
  EXPECT_FALSE(figures.tokens_per_second_best()) << "of four tokens nothing is known";
  figures.add({.completion_tokens = 100, .generation_ms = 1000}, 1200);
  figures.add({.completion_tokens = 50, .generation_ms = 1000}, 1200);
  EXPECT_DOUBLE_EQ(*figures.tokens_per_second_best(), 100);
  for (std::size_t i = 1; i < Figures::kTotalsMax; ++i)
    figures.add({.completion_tokens = 20, .generation_ms = 1000}, 1200);
  EXPECT_DOUBLE_EQ(*figures.tokens_per_second_best(), 50) << "the first one is forgotten";
}

TEST(Figures, TakeTheP95OfTheLastAnswersOnly) {
  Figures figures;
  for (int i = 0; i < 1000; ++i) figures.add({}, 1e6);
  for (std::size_t i = 1; i <= Figures::kTotalsMax; ++i) figures.add({}, static_cast<double>(i));
  EXPECT_DOUBLE_EQ(*figures.total_p95_ms(), 122);  // ⌈0.95 · 128⌉.
}

}  // namespace
}  // namespace gbgreg::fleet

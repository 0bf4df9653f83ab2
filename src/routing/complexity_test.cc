#include "routing/complexity.h"

#include <gtest/gtest.h>

namespace gbgreg::routing {
namespace {

llm::Complexity of(std::string_view prompt) { return measure_complexity(read_features(prompt)); }

TEST(MeasureComplexity, GrowsWithWhatIsAsked) {
  EXPECT_EQ(of("hi").level, 1);
  EXPECT_EQ(of("What is the capital of Peru?").level, 1);
  EXPECT_GE(of("Explain the causes of the decline of the Hanseatic League and compare it with Venice.").level, 3);
  EXPECT_GE(of("Write a 3000-word report that explains how tidal power works, compares the three plants in operation, "
               "and discusses what each costs, step by step, with a conclusion.")
                .level,
            4);
}

TEST(MeasureComplexity, StaysWithinItsBounds) {
  std::string prompt = "Explain, compare, analyse, prove and write 100000 words. ";
  for (int i = 0; i < 12; ++i) prompt += prompt;
  const auto most = of(prompt);
  EXPECT_EQ(most.level, 5);
  EXPECT_LE(most.score, 1);
  const auto least = of("");
  EXPECT_EQ(least.level, 1);
  EXPECT_GE(least.score, 0);
}

TEST(MeasureComplexity, TheLevelIsACutOfTheScore) {
  for (const char* prompt : {"hi", "why?", "Write an essay about rivers", "how do I parse JSON in Go?"}) {
    const auto complexity = of(prompt);
    EXPECT_NEAR((complexity.level - 1) / 4.0, complexity.score, 0.1251) << prompt;
  }
}

TEST(ExpectedAnswerTokens, FollowTheLengthThatIsAskedFor) {
  const auto features = read_features("Write 900 words about bees");
  EXPECT_EQ(expected_answer_tokens(features, {.level = 2}), 1200);
}

TEST(ExpectedAnswerTokens, NeverPassTheBoundOfTheRequest) {
  auto features = read_features("Write 900 words about bees");
  features.answer_tokens_max = 64;
  EXPECT_EQ(expected_answer_tokens(features, {.level = 5}), 64);
}

}  // namespace
}  // namespace gbgreg::routing

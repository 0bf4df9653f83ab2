#include "routing/complexity.h"

#include <algorithm>
#include <cmath>

namespace gbgreg::routing {
namespace {

// What each thing adds to the score. Tuned by hand from a regression over labelled prompts; the length of the prompt
// and the length of the answer that it asks for say most.
struct Share {
  Sign sign;
  double share;
};
constexpr Share kShares[] = {
    {Sign::explain_act, 0.16}, {Sign::reason_act, 0.09},     {Sign::write_act, 0.09},   {Sign::long_text, 0.11},
    {Sign::tech_weak, 0.05},   {Sign::how_question, 0.05},   {Sign::numbers, 0.04},     {Sign::quoted_text, -0.07},
    {Sign::many_steps, -0.05}, {Sign::fact_question, -0.08}, {Sign::greeting, -0.09},   {Sign::personal, -0.10},
    {Sign::errand, -0.14},     {Sign::pick_act, -0.15},      {Sign::short_text, -0.17},
};
constexpr double kBase = 0.19;
constexpr double kShareOfDoubling = 0.034;  // For each doubling of the prompt's length in words.
constexpr double kShareOfLengthAsked = 0.40;
constexpr double kLengthAskedFull = 3000;  // Words.

}  // namespace

llm::Complexity measure_complexity(const Features& features) {
  double score = kBase + kShareOfDoubling * std::log2(1.0 + features.words);
  score += kShareOfLengthAsked * std::min(1.0, features.length_asked / kLengthAskedFull);
  for (const auto& [sign, share] : kShares) score += share * static_cast<double>(features[sign]);
  score = std::clamp(score, 0.0, 1.0);
  return {.level = 1 + static_cast<int>(std::lround(score * 4)), .score = score};
}

int expected_answer_tokens(const Features& features, const llm::Complexity& complexity) {
  constexpr int kTokensOfLevel[] = {40, 200, 450, 900, 1500};
  int tokens = kTokensOfLevel[std::clamp(complexity.level, 1, 5) - 1];
  // Four tokens to three words.
  if (features.length_asked > 0) tokens = std::min(features.length_asked, 100'000) * 4 / 3;
  return features.answer_tokens_max ? std::min(tokens, *features.answer_tokens_max) : tokens;
}

}  // namespace gbgreg::routing

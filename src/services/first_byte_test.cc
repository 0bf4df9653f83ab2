#include "services/first_byte.h"

#include <gtest/gtest.h>

namespace gbgreg::services {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

llm::BackendView backend(int objective_ms, std::optional<double> latency_ms = {}, std::optional<double> rate = {}) {
  llm::BackendView view;
  view.objective_ms = objective_ms;
  view.latency_ms = latency_ms;
  view.tokens_per_second = rate;
  view.context_tokens = 4000;
  return view;
}

TEST(FirstByteWithin, GrowsWithTheObjectiveAndWithWhatWasMeasured) {
  EXPECT_EQ(first_byte_within(backend(1'000), Coming::in_pieces, {}, seconds(600)), seconds(10));
  EXPECT_EQ(first_byte_within(backend(20'000), Coming::in_pieces, {}, seconds(600)), seconds(40));
  EXPECT_EQ(first_byte_within(backend(1'000, 15'000), Coming::in_pieces, {}, seconds(600)), seconds(45));
}

TEST(FirstByteWithin, LeavesHalfOfTheTimeForAnotherUnlessAnswersTakeLonger) {
  EXPECT_EQ(first_byte_within(backend(5'000), Coming::in_pieces, {}, seconds(4)), seconds(2));
  EXPECT_EQ(first_byte_within(backend(5'000, 2'000), Coming::in_pieces, {}, seconds(4)), seconds(3));
}

TEST(FirstByteWithin, GivesAnAnswerThatComesAsAWholeTheTimeToBeMade) {
  EXPECT_EQ(first_byte_within(backend(1'000), Coming::whole, 100, seconds(600)), seconds(20));
  EXPECT_EQ(first_byte_within(backend(1'000, {}, 50), Coming::whole, 100, seconds(600)), seconds(12));
  EXPECT_EQ(first_byte_within(backend(1'000, {}, 100), Coming::whole, {}, seconds(600)), seconds(50));
  EXPECT_EQ(first_byte_within(backend(1'000), Coming::whole, {}, seconds(600)), seconds(300));
}

}  // namespace
}  // namespace gbgreg::services

#include "protocols/server_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gbgreg::protocols {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

llm::Request everything() {
  llm::Request request;
  request.sampling.temperature = 1;
  request.sampling.top_k = 40;
  request.sampling.min_p = 0.1;
  request.sampling.typical_p = 0.9;
  request.sampling.repeat_penalty = 1.1;
  request.sampling.repeat_last_n = 64;
  request.think = true;
  return request;
}

TEST(ServerFields, AreCalledWhatTheServerCallsThem) {
  EXPECT_EQ(name_at(Takes::engine, "repeat_penalty"), "repeat_penalty");
  EXPECT_EQ(name_at(Takes::vllm, "repeat_penalty"), "repetition_penalty");
  EXPECT_EQ(name_at(Takes::openai, "repeat_penalty"), "");
  EXPECT_EQ(name_at(Takes::vllm, "think"), "chat_template_kwargs");
}

TEST(ServerFields, TellsWhatIsLeftOut) {
  const llm::Request request = everything();
  EXPECT_THAT(fields_left_out(request, Takes::engine, "think"), IsEmpty());
  EXPECT_THAT(fields_left_out(request, Takes::vllm, "think"), ElementsAre("typical_p", "repeat_last_n"));
  EXPECT_THAT(fields_left_out(request, Takes::openai, "reasoning_effort"),
              ElementsAre("top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "reasoning_effort"));
  EXPECT_THAT(fields_left_out({}, Takes::openai, "think"), IsEmpty());
}

}  // namespace
}  // namespace gbgreg::protocols

#include "protocols/openai_logprobs.h"

#include <gtest/gtest.h>

#include <string>

namespace gbgreg::protocols::openai {
namespace {

std::string content(std::string_view tokens) {
  return R"({"choices":[{"text":"x","logprobs":{"content":[)" + std::string(tokens) +
         R"(]},"finish_reason":null}],"id":"c"})";
}
constexpr std::string_view kOne =
    R"({"id":1,"token":"o\"}","bytes":[111,34,125],"logprob":-1.5,"top_logprobs":[)"
    R"({"id":1,"token":"o\"}","bytes":[111,34,125],"logprob":-1.5},{"id":2,"token":" other","bytes":[32],"logprob":-2.5}]})";

std::string rewritten(OlderLogprobs& logprobs, std::string_view json) {
  std::string out;
  const auto done = logprobs.rewrite(json, out);
  EXPECT_TRUE(done) << done.error().message;
  return out;
}

TEST(OlderLogprobs, HaveAListForEachThing) {
  OlderLogprobs logprobs(2);
  EXPECT_EQ(rewritten(logprobs, content(kOne)),
            R"({"choices":[{"text":"x","logprobs":{"tokens":["o\"}"],"token_logprobs":[-1.5],)"
            R"("top_logprobs":[{"o\"}":-1.5," other":-2.5}],"text_offset":[0]},"finish_reason":null}],"id":"c"})");
}

TEST(OlderLogprobs, CountTheCharactersOfAllTokensThoughOneIsCutInTwo) {
  OlderLogprobs logprobs(0);
  // "ü" and then "猫", which two tokens share.
  const std::string json = content(R"({"token":"ü","bytes":[195,188],"logprob":-1,"top_logprobs":[]},)"
                                   R"({"token":"","bytes":[231,140],"logprob":-1,"top_logprobs":[]},)"
                                   R"({"token":"","bytes":[171],"logprob":-1,"top_logprobs":[]})");
  EXPECT_NE(rewritten(logprobs, json).find(R"("text_offset":[0,1,2])"), std::string::npos);
  EXPECT_NE(rewritten(logprobs, content(kOne)).find(R"("text_offset":[2])"), std::string::npos);
  EXPECT_NE(rewritten(logprobs, content(kOne)).find(R"("text_offset":[5])"), std::string::npos);
}

TEST(OlderLogprobs, TheTokenThatWasTakenIsAlwaysAmongTheLikeliestAndEachTextOnce) {
  OlderLogprobs none(0);
  EXPECT_NE(rewritten(none, content(kOne)).find(R"("top_logprobs":[{"o\"}":-1.5}])"), std::string::npos);
  OlderLogprobs one(1);
  const std::string unlikely = content(
      R"({"token":"c","bytes":[],"logprob":-9,"top_logprobs":[{"token":"a","logprob":-1},{"token":"b","logprob":-2}]})");
  EXPECT_NE(rewritten(one, unlikely).find(R"("top_logprobs":[{"a":-1,"c":-9}])"), std::string::npos);
  OlderLogprobs three(3);
  const std::string twice = content(
      R"({"token":"a","bytes":[],"logprob":null,"top_logprobs":[{"token":"a","logprob":-1},{"token":"a","logprob":-2}]})");
  EXPECT_NE(rewritten(three, twice).find(R"("token_logprobs":[null],"top_logprobs":[{"a":-1}])"), std::string::npos);
}

TEST(OlderLogprobs, WhatHasNoneStaysAsItIs) {
  OlderLogprobs logprobs(1);
  for (const std::string json : {R"({"choices":[{"text":"\"logprobs\":{","logprobs":null}]})", "{}", ""}) {
    EXPECT_EQ(rewritten(logprobs, json), json);
  }
}

TEST(OlderLogprobs, AnotherShapeIsAnError) {
  for (const std::string& json :
       {std::string(R"({"logprobs":{"content":[)"), std::string(R"({"logprobs":{"content":5}})"), content("5"),
        content(R"({"token":5})"), content(R"({"bytes":[256]})"), content(R"({"top_logprobs":[1]})")}) {
    SCOPED_TRACE(json);
    std::string out;
    EXPECT_FALSE(OlderLogprobs(1).rewrite(json, out));
  }
}

}  // namespace
}  // namespace gbgreg::protocols::openai

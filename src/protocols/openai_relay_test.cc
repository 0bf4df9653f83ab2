#include "protocols/openai_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <cstdlib>
#include <new>
#include <string>

namespace {
std::atomic<std::size_t> allocations{0};
}  // namespace

// Counts for the whole program, which is the tests of this room. All forms, because the address sanitizer wants those
// that free what others allocate to be of one kind. The thread sanitizer brings its own and lets nobody replace them:
// there the count stays where it is, and the other builds tell.
#if !__has_feature(thread_sanitizer)
// NOLINTBEGIN(cppcoreguidelines-no-malloc,clang-analyzer-*): this is what malloc is for.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void* operator new[](std::size_t size, const std::nothrow_t& nothrow) noexcept { return operator new(size, nothrow); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
// NOLINTEND(cppcoreguidelines-no-malloc,clang-analyzer-*)
#endif

namespace gbgreg::protocols::openai {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string chunk(std::string_view delta, std::string_view finish = "null") {
  return R"(data: {"choices":[{"finish_reason":)" + std::string(finish) + R"(,"index":0,"delta":)" +
         std::string(delta) +
         R"(}],"created":1795479752,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"})"
         "\n\n";
}
const std::string kUsage =
    R"(data: {"choices":[],"created":1795479999,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk",)"
    R"("usage":{"completion_tokens":3,"prompt_tokens":11,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":5}},)"
    R"("timings":{"prompt_ms":0.9,"predicted_ms":1.8}})"
    "\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

struct Outcome {
  std::string out;
  Result<llm::Completion> completion;
};

Outcome relay(std::string_view body, const RelayOptions& options, std::size_t piece_bytes) {
  StreamRelay relay(options);
  Outcome outcome;
  for (std::size_t at = 0; at < body.size(); at += piece_bytes) {
    if (!relay.feed(body.substr(at, piece_bytes), outcome.out)) break;
  }
  outcome.completion = relay.finish();
  return outcome;
}

TEST(StreamRelay, PassesEventsOnWithOneTimeAndTheKeysThatClientsLookFor) {
  const std::string body = chunk(R"({"role":"assistant","content":null})") +
                           chunk(R"({"content":"\"created\":5, \"index\":7 猫"})") + chunk("{}", R"("length")") +
                           kUsage + std::string(kDone);
  for (std::size_t piece_bytes = 1; piece_bytes <= body.size(); piece_bytes += piece_bytes < 64 ? 1 : 97) {
    SCOPED_TRACE(piece_bytes);
    const auto [out, completion] = relay(body, {.include_usage = true, .created = 42}, piece_bytes);
    ASSERT_TRUE(completion) << completion.error().detail;
    EXPECT_EQ(completion->reason, llm::StopReason::length);
    EXPECT_EQ(completion->usage.prompt_tokens, 11);
    EXPECT_EQ(completion->usage.completion_tokens, 3);
    EXPECT_EQ(completion->usage.generation_ms, 1.8);
    EXPECT_TRUE(out.starts_with(
        R"(data: {"choices":[{"finish_reason":null,"index":0,"logprobs":null,"delta":{"role":"assistant","content":null}}],)"
        R"("created":42,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"})"
        "\n\n"));
    EXPECT_THAT(out,
                HasSubstr(R"("logprobs":null,"delta":{"content":"\"created\":5, \"index\":7 猫"}}],"created":42,)"));
    EXPECT_THAT(out, HasSubstr(R"("choices":[],"created":42,)"));
    EXPECT_TRUE(out.ends_with(kDone));
  }
}

TEST(StreamRelay, LeavesTheFiguresOutWhenTheClientDidNotAsk) {
  const std::string body = chunk(R"({"content":"a"})") + chunk("{}", R"("stop")") + kUsage + std::string(kDone);
  const auto [out, completion] = relay(body, {.created = 42}, body.size());
  ASSERT_TRUE(completion);
  EXPECT_EQ(completion->usage.prompt_tokens, 11);
  EXPECT_THAT(out, Not(HasSubstr("usage")));
  EXPECT_THAT(out, Not(HasSubstr(R"("choices":[])")));
}

TEST(StreamRelay, TheFiguresOfTheOlderCompletionsComeInAnEventOfTheirOwnOrNotAtAll) {
  const std::string body =
      R"(data: {"choices":[{"text":"\"usage\":{","index":0,"logprobs":null,"finish_reason":null}],"created":1,"id":"c"})"
      "\n\n"
      R"(data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"created":2,"model":"m",)"
      R"("usage":{"completion_tokens":3,"prompt_tokens":11,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":5}},)"
      R"("id":"c","timings":{"predicted_ms":1.8}})"
      "\n\n" +
      std::string(kDone);
  const std::string begin =
      R"(data: {"choices":[{"text":"\"usage\":{","index":0,"logprobs":null,"finish_reason":null}],"created":42,"id":"c"})"
      "\n\n"
      R"(data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"created":42,"model":"m",)"
      R"("id":"c","timings":{"predicted_ms":1.8}})"
      "\n\n";
  const std::string figures =
      R"(data: {"choices":[],"created":42,"model":"m",)"
      R"("usage":{"completion_tokens":3,"prompt_tokens":11,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":5}},)"
      R"("id":"c","timings":{"predicted_ms":1.8}})"
      "\n\n";
  for (const bool is_wanted : {true, false}) {
    SCOPED_TRACE(is_wanted);
    const auto [out, completion] = relay(body, {.include_usage = is_wanted, .is_chat = false, .created = 42}, 7);
    ASSERT_TRUE(completion) << completion.error().detail;
    EXPECT_EQ(completion->reason, llm::StopReason::length);
    EXPECT_EQ(completion->usage.prompt_tokens, 11);
    EXPECT_EQ(completion->usage.completion_tokens, 3);
    EXPECT_EQ(out, begin + (is_wanted ? figures : "") + std::string(kDone));
  }
}

TEST(StreamRelay, KeepsTheLogprobsThatAreThere) {
  const std::string body =
      R"(data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"a"},"logprobs":{"content":[]}}],"created":1})"
      "\n\n";
  const auto [out, completion] = relay(body, {.created = 42}, body.size());
  EXPECT_THAT(out, HasSubstr(R"("logprobs":{"content":[]})"));
  EXPECT_THAT(out, Not(HasSubstr(R"("logprobs":null)")));
}

TEST(StreamRelay, AnythingElseIsAnErrorOfTheBackend) {
  struct Case {
    const char* name;
    std::string body;
  };
  const std::string good = chunk(R"({"content":"a"})");
  const Case cases[] = {
      {"garbage", "hello\n"},
      {"not JSON", "data: hello\n\n"},
      {"another object", "data: {\"x\":1}\n\n"},
      {"cut", good},
      {"no end", good + chunk("{}", R"("stop")")},
      {"an end without a reason", good + std::string(kDone)},
      {"two reasons", good + chunk("{}", R"("stop")") + chunk("{}", R"("stop")") + std::string(kDone)},
      {"more after the end", good + chunk("{}", R"("stop")") + std::string(kDone) + good},
      {"an error", good + R"(data: {"error":{"code":500,"message":"boom","type":"server_error"}})" + "\n\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto [out, completion] = relay(c.body, {}, c.body.size());
    ASSERT_FALSE(completion);
    EXPECT_EQ(completion.error().kind, Kind::backend_failed);
    EXPECT_THAT(completion.error().message, Not(HasSubstr("boom")));
  }
}

TEST(StreamRelay, AnErrorBeforeAnyTextIsToldInTheRequestsTerms) {
  const std::string body =
      R"(data: {"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}})"
      "\n\n";
  const auto [out, completion] = relay(body, {}, body.size());
  EXPECT_EQ(out, "");
  ASSERT_FALSE(completion);
  EXPECT_EQ(completion.error().code, "prompt_too_long");
}

TEST(StreamRelay, LinesAndAnswersAreBounded) {
  const std::string line(100, 'x');
  EXPECT_FALSE(relay("data: " + line, {.line_bytes_max = 50}, 1000).completion);
  const std::string body = chunk(R"({"content":"a"})");
  EXPECT_FALSE(relay(body + body, {.answer_bytes_max = body.size()}, 10).completion);
}

TEST(StreamRelay, AllocatesNothingForAToken) {
  StreamRelay relay({.created = 42});
  std::string out;
  const std::string token = chunk(R"({"content":" token"})");
  const auto pass = [&](std::size_t piece_bytes) {
    for (std::size_t at = 0; at < token.size(); at += piece_bytes) {
      ASSERT_TRUE(relay.feed(std::string_view(token).substr(at, piece_bytes), out));
      out.clear();
    }
  };
  for (const std::size_t piece_bytes : {token.size(), std::size_t{7}}) pass(piece_bytes);
  const std::size_t before = allocations;
  for (int i = 0; i < 1000; ++i) pass(token.size());
  for (int i = 0; i < 1000; ++i) pass(7);
  EXPECT_EQ(allocations, before);
}

TEST(StreamRelay, TheOlderCompletionsHaveIdsAndProbabilitiesOfTheirOwn) {
  const std::string token =
      R"({"id":1,"token":"a","bytes":[97],"logprob":-1.5,"top_logprobs":[{"id":1,"token":"a","bytes":[97],"logprob":-1.5}]})";
  const auto event = [&](std::string_view finish) {
    return R"(data: {"choices":[{"text":"\"id\":\"chatcmpl-","index":0,"logprobs":{"content":[)" + token +
           R"(]},"finish_reason":)" + std::string(finish) + R"(}],"created":1,"id":"chatcmpl-9"})" + "\n\n";
  };
  const auto older = [](int offset, std::string_view finish) {
    return R"(data: {"choices":[{"text":"\"id\":\"chatcmpl-","index":0,"logprobs":{"tokens":["a"],"token_logprobs":[-1.5],)"
           R"("top_logprobs":[{"a":-1.5}],"text_offset":[)" +
           std::to_string(offset) + R"(]},"finish_reason":)" + std::string(finish) +
           R"(}],"created":42,"id":"cmpl-9"})" + "\n\n";
  };
  const std::string body = event("null") + event("null") + event(R"("stop")") + std::string(kDone);
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, body.size()}) {
    const auto [out, completion] = relay(body, {.is_chat = false, .logprobs = 1, .created = 42}, size);
    ASSERT_TRUE(completion) << completion.error().detail;
    EXPECT_EQ(out, older(0, "null") + older(1, "null") + older(2, R"("stop")") + std::string(kDone));
  }
  const std::string broken =
      R"(data: {"choices":[{"text":"a","index":0,"logprobs":{"content":7},"finish_reason":null}],"created":1})"
      "\n\n";
  const auto [out, completion] = relay(broken, {.is_chat = false, .logprobs = 1}, broken.size());
  EXPECT_EQ(completion.error().kind, Kind::backend_failed);
}

TEST(RelayWhole, TheOlderCompletionsHaveIdsAndProbabilitiesOfTheirOwn) {
  const std::string body =
      R"({"choices":[{"text":"a","index":0,"logprobs":{"content":[{"id":1,"token":"a","bytes":[97],"logprob":-1.5,)"
      R"("top_logprobs":[]}]},"finish_reason":"stop"}],"created":1,"id":"chatcmpl-9","usage":{"completion_tokens":1,)"
      R"("prompt_tokens":5,"total_tokens":6}})";
  std::string out;
  ASSERT_TRUE(relay_whole(body, {.is_chat = false, .logprobs = 0}, out));
  const auto answer = boost::json::parse(out);
  EXPECT_EQ(answer.at("id"), "cmpl-9");
  EXPECT_EQ(boost::json::serialize(answer.at("choices").at(0).at("logprobs").at("tokens")), R"(["a"])");
  out.clear();
  ASSERT_TRUE(relay_whole(body, {}, out));
  EXPECT_EQ(boost::json::parse(out).at("id"), "chatcmpl-9");
}

TEST(RelayWhole, AddsTheKeysThatClientsLookFor) {
  const std::string body =
      R"({"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"\"message\":{ hi"}}],)"
      R"("created":1,"id":"x","usage":{"completion_tokens":2,"prompt_tokens":5,"total_tokens":7}})";
  std::string out;
  const auto completion = relay_whole(body, {}, out);
  ASSERT_TRUE(completion) << completion.error().detail;
  EXPECT_EQ(completion->usage.completion_tokens, 2);
  const auto choice = boost::json::parse(out).at("choices").at(0).as_object();
  EXPECT_TRUE(choice.at("logprobs").is_null());
  EXPECT_TRUE(choice.at("message").at("refusal").is_null());
  EXPECT_EQ(choice.at("message").at("content"), "\"message\":{ hi");
  std::string rest;
  EXPECT_EQ(relay_whole("{}", {}, rest).error().kind, Kind::backend_failed);
  EXPECT_EQ(relay_whole(body.substr(0, 50), {}, rest).error().kind, Kind::backend_failed);
}

}  // namespace
}  // namespace gbgreg::protocols::openai

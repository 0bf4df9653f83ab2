#include "protocols/anthropic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

namespace gbgreg::protocols::anthropic {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kPng =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

Result<Asked> parse(std::string_view body) { return parse_messages(body, {}, For::answer); }

TEST(ParseMessages, ReadsBlocksOfEveryKind) {
  const auto got = parse(
      std::string(
          R"({"model":"claude","max_tokens":50,"stream":true,"temperature":0.5,"top_k":4,)"
          R"("system":[{"type":"text","text":"S1","cache_control":{"type":"ephemeral"}},{"type":"text","text":"S2"}],)"
          R"("stop_sequences":["END"],"metadata":{"user_id":"u"},"messages":[)"
          R"({"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":")") +
      kPng +
      R"("}},{"type":"text","text":"see"}]},)"
      R"({"role":"assistant","content":[{"type":"thinking","thinking":"T","signature":"s"},{"type":"redacted_thinking","data":"x"},)"
      R"({"type":"text","text":"ok"},{"type":"tool_use","id":"t1","name":"look","input":{"a":[1]}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"}]},)"
      R"({"type":"text","text":"and now?"}]}],)"
      R"("tools":[{"name":"look","description":"D","input_schema":{"type":"object"}}],)"
      R"("tool_choice":{"type":"tool","name":"look","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":1024}})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->stream);
  const llm::Request& request = got->request;
  EXPECT_EQ(request.model, "claude");
  EXPECT_EQ(request.sampling.tokens_max, 50);
  EXPECT_THAT(request.sampling.stop, ElementsAre("END"));
  EXPECT_TRUE(request.stop_sequence_wanted);
  EXPECT_EQ(request.think, true);
  EXPECT_EQ(request.tool_use, llm::ToolUse::named);
  EXPECT_EQ(request.parallel_tool_calls, false);
  ASSERT_EQ(request.messages.size(), 5U);
  EXPECT_EQ(request.messages[0].speaker, llm::Speaker::system);
  EXPECT_EQ(request.messages[0].text, "S1\n\nS2");
  EXPECT_EQ(request.messages[1].images.size(), 1U);
  EXPECT_EQ(request.messages[2].thinking, "T");
  EXPECT_EQ(request.messages[2].tool_calls.at(0).arguments, R"({"a":[1]})");
  EXPECT_EQ(request.messages[3].speaker, llm::Speaker::tool);
  EXPECT_EQ(request.messages[3].text, "Error: no");
  EXPECT_EQ(request.messages[4].text, "and now?");
}

TEST(ParseMessages, AConversationThatTheServerIsToHoldIsRefusedInTheWordsThatClientsKnow) {
  const std::string rest = R"(,"max_tokens":5,"messages":[{"role":"user","content":"x"}]})";
  for (const char* thread : {R"({"type":"create"})", R"({"type":"continue","previous_message_id":"msg_1"})"}) {
    SCOPED_TRACE(thread);
    const auto got = parse(R"({"thread":)" + std::string(thread) + rest);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    const auto error = boost::json::parse(write_error(got.error(), "id")).at("error");
    EXPECT_EQ(error.at("type"), "invalid_request_error");
    EXPECT_EQ(error.at("details").at("error_code"), "thread_unsupported_request");
  }
  EXPECT_TRUE(parse(R"({"thread":null)" + rest));
}

TEST(ParseMessages, AnAnswerMayBeAskedForInASchema) {
  const std::string rest = R"(,"max_tokens":5,"messages":[{"role":"user","content":"x"}]})";
  const auto got =
      parse(R"({"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}})" + rest);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.format, llm::Format::schema);
  EXPECT_EQ(got->request.schema_json, R"({"type":"object"})");
  for (const char* config : {"null", "{}", R"({"format":null})", R"({"effort":"high"})"}) {
    SCOPED_TRACE(config);
    EXPECT_EQ(parse(R"({"output_config":)" + std::string(config) + rest)->request.format, llm::Format::text);
  }
  for (const char* format : {R"({"type":"json_schema"})", R"({"type":"json_schema","schema":5})",
                             R"({"type":"xml","schema":{}})", R"("json")"}) {
    SCOPED_TRACE(format);
    EXPECT_FALSE(parse(R"({"output_config":{"format":)" + std::string(format) + "}" + rest));
  }
}

TEST(ParseMessages, MistakesAreTold) {
  const std::string messages = R"("messages":[{"role":"user","content":"x"}])";
  for (const std::string& body : {
           std::string(R"({"model":"m","max_tokens":5})"),
           R"({"model":"m",)" + messages + "}",
           R"({"max_tokens":0,)" + messages + "}",
           R"({"max_tokens":5,"temperature":1.5,)" + messages + "}",
           R"({"max_tokens":5,"tools":[{"type":"web_search_20250305","name":"web_search"}],)" + messages + "}",
           R"({"max_tokens":5,"tool_choice":{"type":"tool"},)" + messages + "}",
           R"({"max_tokens":5,"tool_choice":{"type":"any"},)" + messages + "}",
           R"({"max_tokens":5,"thinking":{"type":"some"},)" + messages + "}",
           std::string(R"({"max_tokens":5,"messages":[{"role":"robot","content":"x"}]})"),
           std::string(R"({"max_tokens":5,"messages":[{"role":"user","content":[{"type":"document"}]}]})"),
           std::string(R"({"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":)"
                       R"({"type":"url","url":"http://127.0.0.1/x.png"}}]}]})"),
       }) {
    SCOPED_TRACE(body);
    const auto got = parse(body);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    const auto error = boost::json::parse(write_error(got.error(), "r")).as_object();
    EXPECT_EQ(error.at("type"), "error");
    EXPECT_EQ(error.at("error").at("type"), "invalid_request_error");
    EXPECT_EQ(error.at("request_id"), "r");
  }
  EXPECT_TRUE(parse_messages("{" + messages + "}", {}, For::count));
}

const WallTime kNow{};

llm::Answer answer_of(llm::Completion completion) {
  llm::Answer answer;
  answer.completion = std::move(completion);
  answer.notes.request_id = "01a2-b3";
  answer.notes.model = "m";
  return answer;
}

struct Event {
  std::string name;
  boost::json::object data;
};

// Every event has a name, and its data say the same one.
std::vector<Event> events_in(std::string_view stream) {
  std::vector<Event> events;
  while (!stream.empty()) {
    const std::size_t end = stream.find("\n\n");
    const std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    EXPECT_TRUE(event.starts_with("event: ")) << event;
    const std::size_t line = event.find("\ndata: ");
    events.push_back({std::string(event.substr(7, line - 7)), boost::json::parse(event.substr(line + 7)).as_object()});
    EXPECT_EQ(events.back().data.at("type").as_string(), events.back().name);
  }
  return events;
}

TEST(MessageWriter, NumbersItsBlocksAndClosesEachBeforeTheNext) {
  MessageWriter writer;
  std::string out;
  writer.begin(out, answer_of({}).notes, kNow);
  writer.delta(out, {.text = {}, .thinking = "hm", .tool_calls = {}}, kNow);
  writer.delta(out, {.text = "a", .thinking = {}, .tool_calls = {}}, kNow);
  writer.delta(out, {.text = "b", .thinking = {}, .tool_calls = {}}, kNow);
  const auto call = [&](int index, std::string id, std::string name, std::string arguments) {
    llm::Delta delta;
    delta.tool_calls.push_back(
        {.index = index, .id = std::move(id), .name = std::move(name), .arguments = std::move(arguments)});
    writer.delta(out, delta, kNow);
  };
  call(0, "c0", "look", "{\"a");
  call(0, "", "", "\":1}");
  call(1, "c1", "hear", "");
  writer.end(out,
             answer_of({.reason = llm::StopReason::tool_calls, .usage = {.prompt_tokens = 7, .completion_tokens = 3}}),
             kNow);
  const auto events = events_in(out);
  std::vector<std::string> names;
  for (const auto& event : events) {
    const auto* index = event.data.if_contains("index");
    names.push_back(event.name + (index != nullptr ? " " + boost::json::serialize(*index) : ""));
  }
  EXPECT_THAT(names, ElementsAre("message_start", "ping", "content_block_start 0", "content_block_delta 0",
                                 "content_block_delta 0", "content_block_stop 0", "content_block_start 1",
                                 "content_block_delta 1", "content_block_delta 1", "content_block_stop 1",
                                 "content_block_start 2", "content_block_delta 2", "content_block_delta 2",
                                 "content_block_stop 2", "content_block_start 3", "content_block_stop 3",
                                 "message_delta", "message_stop"));
  EXPECT_EQ(boost::json::serialize(events[0].data.at("message").at("content")), "[]");
  EXPECT_EQ(events[0].data.at("message").at("id"), "msg_01a2b3");
  EXPECT_EQ(events[10].data.at("content_block").at("id"), "c0");
  EXPECT_EQ(boost::json::serialize(events[10].data.at("content_block").at("input")), "{}");
  EXPECT_EQ(events[12].data.at("delta").at("partial_json"), "\":1}");
  const auto& last = events[16].data;
  EXPECT_EQ(last.at("delta").at("stop_reason"), "tool_use");
  EXPECT_EQ(last.at("usage").at("input_tokens"), 7);
  EXPECT_EQ(last.at("usage").at("output_tokens"), 3);
  EXPECT_THAT(out, Not(HasSubstr("[DONE]")));
}

TEST(MessageWriter, AWholeAnswerHasTheSameBlocks) {
  MessageWriter writer;
  llm::Delta all{.text = "a", .thinking = "hm", .tool_calls = {}};
  all.tool_calls.push_back({.index = 0, .id = "c0", .name = "look", .arguments = "not JSON"});
  std::string out;
  writer.whole(out, all, answer_of({.reason = llm::StopReason::stop, .stop_sequence = "END"}), kNow);
  const auto body = boost::json::parse(out).as_object();
  EXPECT_EQ(boost::json::serialize(body.at("content")),
            R"([{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"a"},)"
            R"({"type":"tool_use","id":"c0","name":"look","input":{}}])");
  EXPECT_EQ(body.at("stop_reason"), "stop_sequence");
  EXPECT_EQ(body.at("stop_sequence"), "END");
  EXPECT_EQ(body.at("role"), "assistant");
}

TEST(MessageWriter, AnswersEndForReasonsThatClientsKnow) {
  struct Case {
    llm::StopReason reason;
    const char* said;
  };
  const Case cases[] = {{llm::StopReason::stop, "end_turn"},
                        {llm::StopReason::length, "max_tokens"},
                        {llm::StopReason::tool_calls, "tool_use"}};
  for (const auto& c : cases) {
    std::string out;
    MessageWriter().whole(out, {}, answer_of({.reason = c.reason}), kNow);
    EXPECT_EQ(boost::json::parse(out).at("stop_reason"), c.said);
    EXPECT_TRUE(boost::json::parse(out).at("stop_sequence").is_null());
  }
}

TEST(WriteError, HasATypeForEveryKind) {
  for (int kind = 0; kind <= static_cast<int>(Kind::unknown_version); ++kind) {
    const Error error{.kind = static_cast<Kind>(kind), .code = {}, .message = "Do.", .detail = "secret"};
    const std::string text = write_error(error, "r");
    EXPECT_FALSE(boost::json::parse(text).at("error").at("type").as_string().empty());
    EXPECT_THAT(text, Not(HasSubstr("secret")));
  }
  std::string broken;
  MessageWriter().broken(broken, {.kind = Kind::unavailable, .code = "x", .message = "Wait."}, "r");
  EXPECT_EQ(events_in(broken).at(0).name, "error");
  EXPECT_EQ(events_in(broken).at(0).data.at("error").at("type"), "overloaded_error");
}

}  // namespace
}  // namespace gbgreg::protocols::anthropic

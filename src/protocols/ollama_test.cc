#include "protocols/ollama.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace gbgreg::protocols::ollama {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr const char* kPng =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

Result<Asked> parse(std::string_view body, const Limits& limits = {}) { return parse_generate(body, limits); }

TEST(ParseGenerate, ReadsAPlainPrompt) {
  const auto got = parse(R"({"prompt":"Hello"})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.model, "auto");
  ASSERT_EQ(got->request.messages.size(), 1U);
  EXPECT_EQ(got->request.messages[0].speaker, llm::Speaker::user);
  EXPECT_EQ(got->request.messages[0].text, "Hello");
  EXPECT_FALSE(got->model_named);
  EXPECT_FALSE(got->stream);
  EXPECT_FALSE(got->load_only);
}

TEST(ParseGenerate, StreamsByDefaultOnlyWhenAModelIsNamed) {
  struct Case {
    const char* body;
    bool stream;
  };
  const Case cases[] = {
      {R"({"prompt":"x"})", false},
      {R"({"prompt":"x","model":""})", false},
      {R"({"prompt":"x","model":null})", false},
      {R"({"prompt":"x","model":"llama3.2:3b"})", true},
      {R"({"prompt":"x","model":"llama3.2:3b","stream":null})", true},
      {R"({"prompt":"x","model":"llama3.2:3b","stream":false})", false},
      {R"({"prompt":"x","stream":true})", true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    EXPECT_EQ(parse(c.body)->stream, c.stream);
  }
}

TEST(ParseGenerate, ReadsEverythingElse) {
  const auto got = parse(R"({"model":"technical","prompt":"P","system":"S","format":"json","keep_alive":"1h30m",
    "priority":"batch","deadline_ms":1500,"session_id":"s1","context":[1,2,3],"think":false,"raw":false,"suffix":"",
    "template":null,"upload_ids":[],"project_id":"","a field of tomorrow":{"x":[1]},
    "options":{"temperature":0.5,"top_k":40,"top_p":0.9,"min_p":0.05,"typical_p":0.7,"repeat_penalty":1.1,
               "repeat_last_n":-1,"presence_penalty":-2,"frequency_penalty":2,"seed":42,"num_predict":100,
               "stop":["\n","END"],"num_ctx":8192,"num_gpu":99,"num_ctx":4096,"mirostat":1}})");
  ASSERT_TRUE(got) << got.error().message;
  const llm::Request& request = got->request;
  EXPECT_EQ(request.model, "technical");
  ASSERT_EQ(request.messages.size(), 2U);
  EXPECT_EQ(request.messages[0].speaker, llm::Speaker::system);
  EXPECT_EQ(request.messages[0].text, "S");
  EXPECT_EQ(request.messages[1].text, "P");
  EXPECT_EQ(request.format, llm::Format::json);
  EXPECT_EQ(request.priority, llm::Priority::batch);
  EXPECT_EQ(request.deadline_ms, 1500);
  EXPECT_EQ(got->session_id, "s1");
  EXPECT_EQ(got->keep_alive, 90min);
  const llm::Sampling& sampling = request.sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_EQ(sampling.min_p, 0.05);
  EXPECT_EQ(sampling.typical_p, 0.7);
  EXPECT_EQ(sampling.repeat_penalty, 1.1);
  EXPECT_EQ(sampling.repeat_last_n, -1);
  EXPECT_EQ(sampling.presence_penalty, -2);
  EXPECT_EQ(sampling.frequency_penalty, 2);
  EXPECT_EQ(sampling.seed, 42);
  EXPECT_EQ(sampling.tokens_max, 100);
  EXPECT_THAT(sampling.stop, ElementsAre("\n", "END"));
  EXPECT_THAT(request.ignored_options, ElementsAre("num_ctx", "num_gpu"));
}

TEST(ParseGenerate, MistakesAreToldByFieldAndRange) {
  struct Case {
    const char* body;
    const char* code;
    const char* message;
  };
  const Case cases[] = {
      {R"({"prompt":5})", "invalid_field", "\"prompt\" must be a string."},
      {R"({"model":["a"]})", "invalid_field", "\"model\" must be a string."},
      {R"({"stream":"yes"})", "invalid_field", "\"stream\" must be true or false."},
      {R"({"options":[]})", "invalid_field", "\"options\" must be an object."},
      {R"({"options":{"temperature":3}})", "invalid_field", "\"options.temperature\" must be a number from 0 to 2."},
      {R"({"options":{"temperature":"hot"}})", "invalid_field",
       "\"options.temperature\" must be a number from 0 to 2."},
      {R"({"options":{"top_p":-0.1}})", "invalid_field", "\"options.top_p\" must be a number from 0 to 1."},
      {R"({"options":{"top_k":-1}})", "invalid_field", "\"options.top_k\" must be a whole number from 0 to 100000."},
      {R"({"options":{"num_predict":-3}})", "invalid_field", "\"options.num_predict\" must be a whole number from -2"},
      {R"({"options":{"seed":1e30}})", "invalid_field", "\"options.seed\" must be a whole number"},
      {R"({"options":{"stop":[1]}})", "invalid_field", "\"options.stop[0]\" must be a string."},
      {R"({"options":{"stop":7}})", "invalid_field", "\"options.stop\" must be a string or an array of strings."},
      {R"({"format":"xml"})", "invalid_field", "\"format\" must be \"json\" or a JSON schema."},
      {R"({"format":7})", "invalid_field", "\"format\" must be"},
      {R"({"priority":"high"})", "invalid_field", "\"priority\" must be \"interactive\" or \"batch\"."},
      {R"({"deadline_ms":0})", "invalid_field", "\"deadline_ms\" must be a whole number from 1 to 3600000."},
      {R"({"deadline_ms":3600001})", "invalid_field", "\"deadline_ms\" must be"},
      {R"({"keep_alive":"soon"})", "invalid_field", "\"keep_alive\" must be a duration"},
      {R"({"keep_alive":true})", "invalid_field", "\"keep_alive\" must be a duration"},
      {R"({"images":"abc"})", "invalid_field", "\"images\" must be an array."},
      {R"({"images":[5]})", "invalid_field", "\"images[0]\" must be a string of base64."},
      {R"({"images":[null]})", "invalid_field", "\"images[0]\" must be a string of base64."},
      {"{}", "prompt_missing", "\"prompt\""},
      {R"({"prompt":"","stream":true})", "prompt_missing", "\"prompt\""},
      {R"({"model":"x","messages":[{"role":"user","content":"hi"}]})", "invalid_field", "/api/chat"},
      {R"(not json)", "invalid_json", "The body"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto got = parse(c.body);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_EQ(got.error().code, c.code);
    EXPECT_THAT(got.error().message, HasSubstr(c.message));
  }
}

TEST(ParseGenerate, WhatItCannotHonourIsRefusedAndNotLeftOutSilently) {
  struct Case {
    const char* body;
    const char* code;
  };
  const Case cases[] = {
      {R"({"prompt":"x","project_id":"0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f"})", "not_available_yet"},
      {R"({"prompt":"x","raw":true})", "field_not_supported"},
      {R"({"prompt":"x","suffix":"}"})", "field_not_supported"},
      {R"({"prompt":"x","template":"{{ .Prompt }}"})", "field_not_supported"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto got = parse(c.body);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::refused);
    EXPECT_EQ(got.error().code, c.code);
  }
}

TEST(ParseGenerate, NothingForNoTimeUnloadsTheModel) {
  for (const char* keep_alive : {"0", "\"0\"", "\"0s\""}) {
    const auto got = parse(R"({"model":"x","keep_alive":)" + std::string(keep_alive) + "}");
    ASSERT_TRUE(got) << keep_alive;
    EXPECT_TRUE(got->load_only && got->leaves_at_once()) << keep_alive;
  }
  EXPECT_FALSE(parse(R"({"model":"x"})")->leaves_at_once());
  EXPECT_FALSE(parse(R"({"model":"x","keep_alive":-1})")->leaves_at_once());
  EXPECT_FALSE(parse(R"({"model":"x","prompt":"Hi","keep_alive":0})")->load_only);
  EXPECT_TRUE(parse(R"({"model":"x","prompt":"Hi","keep_alive":0})")->leaves_at_once());
}

TEST(ParseGenerate, ASchemaIsKeptAsItIs) {
  const auto got = parse(R"({"prompt":"x","format": {"type":"object", "properties":{"a":{"type":"integer"}}} })");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.format, llm::Format::schema);
  EXPECT_EQ(got->request.schema_json, R"({"type":"object", "properties":{"a":{"type":"integer"}}})");
}

TEST(ParseGenerate, TokensWithoutBoundAreAbsent) {
  EXPECT_FALSE(parse(R"({"prompt":"x","options":{"num_predict":-1}})")->request.sampling.tokens_max);
  EXPECT_FALSE(parse(R"({"prompt":"x","options":{"num_predict":-2}})")->request.sampling.tokens_max);
  EXPECT_EQ(parse(R"({"prompt":"x","options":{"num_predict":0}})")->request.sampling.tokens_max, 0);
}

TEST(ParseGenerate, StopMayBeOneString) {
  EXPECT_THAT(parse(R"({"prompt":"x","options":{"stop":"END"}})")->request.sampling.stop, ElementsAre("END"));
  EXPECT_THAT(parse(R"({"prompt":"x","options":{"stop":null}})")->request.sampling.stop, ElementsAre());
  EXPECT_THAT(parse(R"({"prompt":"x","options":{"stop":["",""]}})")->request.sampling.stop, ElementsAre())
      << "an empty one would stop at once";
}

TEST(ParseGenerate, StopsAreBoundedInCountAndLength) {
  Limits limits;
  limits.stops_max = 2;
  limits.stop_bytes_max = 3;
  EXPECT_TRUE(parse(R"({"prompt":"x","options":{"stop":["abc","d"]}})", limits));
  EXPECT_THAT(parse(R"({"prompt":"x","options":{"stop":["a","b","c"]}})", limits).error().message,
              HasSubstr("at most 2"));
  EXPECT_THAT(parse(R"({"prompt":"x","options":{"stop":["abcd"]}})", limits).error().message,
              HasSubstr("at most 3 bytes"));
}

TEST(ParseGenerate, AnEmptyPromptLoadsTheModel) {
  EXPECT_TRUE(parse(R"({"model":"m"})")->load_only);
  EXPECT_TRUE(parse(R"({"model":"m","prompt":"","keep_alive":1})")->load_only);
  EXPECT_FALSE(parse(std::string(R"({"model":"m","images":[")") + kPng + "\"]}")->load_only);
  EXPECT_TRUE(parse(R"({"model":"m","system":"be brief"})")->load_only);
}

TEST(ParseGenerate, KeepAliveTakesGoDurationsAndSeconds) {
  struct Case {
    const char* value;
    std::chrono::milliseconds want;
  };
  const Case cases[] = {
      {"\"5m\"", 5min}, {"\"1h30m\"", 90min}, {"300", 300s},        {"0.5", 500ms},      {"-1", -1s},
      {"\"-1s\"", -1s}, {"\"0\"", 0s},        {"\"250ms\"", 250ms}, {"\"1.5h\"", 90min}, {"\"1h0.5s\"", 3600500ms},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.value);
    const auto got = parse(std::string("{\"prompt\":\"x\",\"keep_alive\":") + c.value + "}");
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->keep_alive, c.want);
  }
  EXPECT_FALSE(parse(R"({"prompt":"x","keep_alive":null})")->keep_alive);
  for (const char* bad :
       {"\"\"", "\"5\"", "\"m\"", "\"5x\"", "\"1h-5m\"", "\"1e9h\"", "\"999999999999h\"", "\"--1s\"", "\"nan\""}) {
    EXPECT_FALSE(parse(std::string("{\"prompt\":\"x\",\"keep_alive\":") + bad + "}")) << bad;
  }
}

TEST(ParseGenerate, ImagesAreToldByTheirFirstBytes) {
  struct Case {
    const char* base64;
    const char* media_type;
  };
  const Case cases[] = {
      {kPng, "image/png"},
      {"/9j/4AAQSkZJRgABAQAAAQABAAD/2w==", "image/jpeg"},
      {"R0lGODlhAQABAAAAACw=", "image/gif"},
      {"UklGRiQAAABXRUJQVlA4IA==", "image/webp"},
      {"Qk06AAAAAAAAADYAAAA=", "image/bmp"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.media_type);
    const auto got = parse(std::string("{\"images\":[\"") + c.base64 + "\"]}");
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->request.messages[0].images[0].media_type, c.media_type);
    EXPECT_EQ(got->request.messages[0].images[0].base64, c.base64);
    EXPECT_TRUE(got->request.has_image());
  }
}

TEST(ParseGenerate, LineBreaksInBase64AreTakenOut) {
  std::string wrapped(kPng);
  wrapped.insert(76, "\\n");
  const auto got = parse("{\"prompt\":\"x\",\"images\":[\"" + wrapped + "\\r\\n\"]}");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.messages[0].images[0].base64, kPng);
}

TEST(ParseGenerate, WhatIsNoImageIsRefused) {
  for (const char* text : {"aGVsbG8gd29ybGQ=", "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=", "Qk1X"}) {
    const auto got = parse(std::string("{\"images\":[\"") + text + "\"]}");
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::refused);
    EXPECT_EQ(got.error().code, "image_not_understood");
    EXPECT_THAT(got.error().message, HasSubstr("\"images[0]\""));
  }
}

TEST(ParseGenerate, WhatIsNotBase64IsMalformed) {
  for (const char* text : {"", "a", "abc", "iVBO Rw0K", "iVBOR===", "====", "iVBORw==iVBO",
                           "iVBORw0KGgp=", "data:image/png;base64,iVBO", "iVB-Rw_K", "\\u0000AAA"}) {
    SCOPED_TRACE(text);
    const auto got = parse(std::string("{\"images\":[\"") + text + "\"]}");
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
  }
}

TEST(ParseGenerate, ImagesAreBoundedInCountAndSize) {
  Limits limits;
  limits.images_max = 1;
  const std::string image = std::string("\"") + kPng + "\"";
  const auto many = parse("{\"prompt\":\"x\",\"images\":[" + image + "," + image + "]}", limits);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().kind, Kind::too_large);
  EXPECT_EQ(many.error().code, "too_many_images");
  EXPECT_TRUE(parse("{\"prompt\":\"x\",\"images\":[" + image + "],\"images\":[" + image + "]}", limits))
      << "the last one counts";
  limits.image_bytes_max = 60;
  const auto large = parse("{\"prompt\":\"x\",\"images\":[" + image + "]}", limits);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, "image_too_large");
  EXPECT_THAT(large.error().message, HasSubstr("60 bytes"));
}

TEST(ParseGenerate, TextAndBodyAreBounded) {
  Limits limits;
  limits.text_bytes_max = 10;
  EXPECT_TRUE(parse(R"({"prompt":"12345","system":"12345"})", limits));
  const auto text = parse(R"({"prompt":"123456","system":"12345"})", limits);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, Kind::too_large);
  EXPECT_EQ(text.error().code, "text_too_large");
  limits.body_bytes_max = 5;
  EXPECT_EQ(parse(R"({"prompt":"1"})", limits).error().code, "body_too_large");
}

TEST(ParseGenerate, ThinkIsAWordOrAYes) {
  EXPECT_EQ(parse(R"({"prompt":"x"})")->request.think, std::nullopt);
  EXPECT_EQ(parse(R"({"prompt":"x","think":true})")->request.think, true);
  EXPECT_EQ(parse(R"({"prompt":"x","think":"high"})")->request.think, true);
  EXPECT_EQ(parse(R"({"prompt":"x","think":false})")->request.think, false);
  EXPECT_EQ(parse(R"({"prompt":"x","think":"deep"})").error().code, "invalid_field");
}

TEST(ParseGenerate, TakesTheIdsOfUploadsEachOnce) {
  const auto got = parse(R"({"prompt":"x","upload_ids":["0193E2A4-7c1b-7d3e-9f00-1a2b3c4d5e6f",
      "0193e2a4-7c1b-7d3e-9f00-000000000000","0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f"]})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(got->upload_ids,
              ElementsAre("0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f", "0193e2a4-7c1b-7d3e-9f00-000000000000"));
  // An upload is something to ask about, without a word as well.
  EXPECT_FALSE(parse(R"({"model":"m","upload_ids":["0193e2a4-7c1b-7d3e-9f00-000000000000"]})")->load_only);
  EXPECT_TRUE(parse(R"({"upload_ids":["0193e2a4-7c1b-7d3e-9f00-000000000000"]})"));
  EXPECT_EQ(parse(R"({"upload_ids":[]})").error().code, "prompt_missing");
  EXPECT_TRUE(parse_chat(R"({"model":"m","upload_ids":null})", {})->load_only);
  EXPECT_FALSE(parse_chat(R"({"upload_ids":["0193e2a4-7c1b-7d3e-9f00-000000000000"]})", {})->load_only);
}

TEST(ParseGenerate, MistakesInTheIdsOfUploadsAreNamed) {
  Limits limits;
  limits.uploads_max = 1;
  struct Case {
    const char* ids;
    const char* message;
  };
  const Case cases[] = {
      {R"(["file-1"])", "\"upload_ids[0]\" must be the id of an upload"},
      {R"([7])", "\"upload_ids[0]\" must be the id of an upload"},
      {R"("0193e2a4-7c1b-7d3e-9f00-000000000000")", "\"upload_ids\" must be an array"},
      {R"(["0193e2a4-7c1b-7d3e-9f00-000000000000","0193e2a4-7c1b-7d3e-9f00-000000000000"])", "at most 1 ids"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.ids);
    const auto got = parse(std::string(R"({"prompt":"x","upload_ids":)") + c.ids + "}", limits);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_EQ(got.error().code, "invalid_field");
    EXPECT_THAT(got.error().message, HasSubstr(c.message));
  }
}

TEST(ParseChat, ReadsAConversationWithToolsAndStreamsByDefault) {
  const auto got = parse_chat(R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},
    {"role":"assistant","content":"","thinking":"T","tool_calls":[{"function":{"name":"look","arguments":{"a":[1]}}}]},
    {"role":"tool","tool_name":"look","content":"seen"}],
    "tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}]})",
                              {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->stream);
  EXPECT_FALSE(got->load_only);
  const auto& messages = got->request.messages;
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[2].thinking, "T");
  ASSERT_EQ(messages[2].tool_calls.size(), 1U);
  EXPECT_EQ(messages[2].tool_calls[0].arguments, R"({"a":[1]})");
  EXPECT_EQ(messages[3].speaker, llm::Speaker::tool);
  EXPECT_EQ(messages[3].tool_name, "look");
  ASSERT_EQ(got->request.tools.size(), 1U);
  EXPECT_EQ(got->request.tools[0].parameters_json, R"({"type":"object"})");
}

TEST(ParseChat, WithoutMessagesItLoadsTheModel) {
  EXPECT_TRUE(parse_chat(R"({"model":"m"})", {})->load_only);
  EXPECT_TRUE(parse_chat(R"({"model":"m","messages":[]})", {})->load_only);
  EXPECT_EQ(parse_chat(R"({"messages":[]})", {}).error().code, "messages_missing");
  EXPECT_EQ(parse_chat(R"({"model":"m","prompt":"x"})", {}).error().code, "invalid_field");
  EXPECT_EQ(parse_chat(R"({"model":"m","messages":[{"content":"x"}]})", {}).error().code, "invalid_field");
}

TEST(ParseModel, TakesEitherName) {
  EXPECT_EQ(*parse_model(R"({"name":"a"})", {}), "a");
  EXPECT_EQ(*parse_model(R"({"name":"a","model":"b"})", {}), "b");
  EXPECT_FALSE(parse_model("{}", {}));
}

const WallTime kNow{};  // 1970-01-01T00:00:00.000Z

llm::Answer answer_of(llm::StopReason reason) {
  llm::Answer answer;
  answer.completion = {
      .reason = reason,
      .usage = {.prompt_tokens = 11, .completion_tokens = 6, .prompt_ms = 0.933, .generation_ms = 1.842}};
  answer.notes = {.request_id = "r",
                  .role = "technical",
                  .model = "m",
                  .backend = "technical/m",
                  .device = "CPU",
                  .complexity = {.level = 2, .score = 0.25},
                  .reason = "Because.",
                  .queue_ms = 1.5,
                  .ttft_ms = 20.25,
                  .total_ms = 5,
                  .kept_tokens = 11,
                  .sources = {{.upload_id = "u", .path = "a.txt", .first_line = 1, .last_line = 9},
                              {.upload_id = "v", .path = "b.png"}},
                  .ignored_options = {"num_ctx"}};
  answer.load = 1us;
  return answer;
}
constexpr std::string_view kEnding =
    R"("done":true,"done_reason":"length","total_duration":5000000,)"
    R"("load_duration":1000,"prompt_eval_count":11,"prompt_eval_duration":933000,"eval_count":6,)"
    R"("eval_duration":1842000,"gbgreg":{"request_id":"r","role":"technical","model":"m","backend":"technical/m",)"
    R"("device":"CPU","complexity":{"level":2,"score":0.25},"reason":"Because.","queue_ms":1.5,"ttft_ms":20.25,)"
    R"("total_ms":5,"truncated":{"kept_tokens":11,"dropped_tokens":0},"sources":[{"upload_id":"u","path":"a.txt","lines":[1,9]},{"upload_id":"v","path":"b.png"}],)"
    R"("ignored_options":["num_ctx"]}})"
    "\n";

TEST(GenerateWriter, WritesALineAPieceAndTheFiguresInTheLast) {
  GenerateWriter writer(true);
  std::string out;
  llm::AnswerNotes notes;
  notes.model = "m\"1";
  writer.begin(out, notes, kNow);
  writer.delta(out, {.text = "a\nb猫", .thinking = {}, .tool_calls = {}}, kNow);
  EXPECT_EQ(out, R"({"model":"m\"1","created_at":"1970-01-01T00:00:00.000Z","response":"a\nb猫","done":false})"
                 "\n");
  out.clear();
  writer.end(out, answer_of(llm::StopReason::length), kNow);
  EXPECT_EQ(out, R"({"model":"m","created_at":"1970-01-01T00:00:00.000Z","response":"",)" + std::string(kEnding));
  out.clear();
  writer.whole(out, {.text = "whole", .thinking = "hm", .tool_calls = {}}, answer_of(llm::StopReason::length), kNow);
  EXPECT_EQ(out, R"({"model":"m","created_at":"1970-01-01T00:00:00.000Z","response":"whole","thinking":"hm",)" +
                     std::string(kEnding));
}

TEST(ChatWriter, EveryLineHasContentAndAToolCallComesWhole) {
  ChatWriter writer;
  std::string out;
  writer.begin(out, answer_of(llm::StopReason::stop).notes, kNow);
  writer.delta(out, {.text = "a", .thinking = {}, .tool_calls = {}}, kNow);
  const auto call = [](std::string id, std::string name, std::string arguments) {
    return llm::Delta{
        .text = {},
        .thinking = {},
        .tool_calls = {{.index = 0, .id = std::move(id), .name = std::move(name), .arguments = std::move(arguments)}}};
  };
  writer.delta(out, call("c1", "look", R"({"a)"), kNow);
  writer.delta(out, call("", "", R"(":1})"), kNow);
  EXPECT_EQ(
      out,
      R"({"model":"m","created_at":"1970-01-01T00:00:00.000Z","message":{"role":"assistant","content":"a"},"done":false})"
      "\n");
  out.clear();
  writer.end(out, answer_of(llm::StopReason::tool_calls), kNow);
  EXPECT_THAT(out, HasSubstr(R"("message":{"role":"assistant","content":"","tool_calls":[{"id":"c1","function":)"
                             R"({"index":0,"name":"look","arguments":{"a":1}}}]},"done":false})"
                             "\n"));
  EXPECT_THAT(out, HasSubstr(R"("message":{"role":"assistant","content":""},"done":true,"done_reason":"stop")"));
}

TEST(WriteLoaded, HasNoFigures) {
  std::string out;
  write_moved(out, Form::generate, Moved::in, answer_of(llm::StopReason::stop).notes, kNow);
  EXPECT_THAT(out, HasSubstr(R"("response":"","done":true,"done_reason":"load","gbgreg":)"));
  EXPECT_THAT(out, testing::Not(HasSubstr("total_duration")));
  out.clear();
  write_moved(out, Form::chat, Moved::out, answer_of(llm::StopReason::stop).notes, kNow);
  EXPECT_THAT(out, HasSubstr(R"("message":{"role":"assistant","content":""},"done":true,"done_reason":"unload")"));
}

TEST(WriteError, ReadsWellForEachKindOfClient) {
  const Error error{.kind = Kind::backend_failed, .code = "backend_failed", .message = "It broke.", .detail = "secret"};
  std::string named;
  GenerateWriter(true).broken(named, error, "r1");
  EXPECT_EQ(named, "{\"error\":\"It broke.\",\"code\":\"backend_failed\",\"request_id\":\"r1\"}\n");
  std::string native;
  GenerateWriter(false).broken(native, error, "r1");
  EXPECT_EQ(native, "{\"error\":{\"code\":\"backend_failed\",\"message\":\"It broke.\",\"request_id\":\"r1\"}}\n");
}

TEST(Lists, NameEachModelOnceAndClaimNoCardWithoutProof) {
  llm::BackendView one{.id = "a/m", .role = "a", .model = "m", .state = llm::BackendState::ready};
  one.model_bytes = 1000;
  llm::BackendView other = one;
  other.role = "b";
  llm::BackendView card{.id = "c/n", .role = "c", .model = "n", .state = llm::BackendState::ready};
  card.model_bytes = 1000;
  card.placement = {.device = "mixed", .gpu_layers = 1, .total_layers = 2};
  llm::BackendView down{.id = "d/o", .role = "d", .model = "o", .state = llm::BackendState::failed};
  const std::vector<llm::BackendView> backends{one, other, card, down};
  const auto running = boost::json::parse(write_running(backends, kNow)).at("models").as_array();
  ASSERT_EQ(running.size(), 2U);
  EXPECT_EQ(running[0].at("size_vram"), 0);
  EXPECT_EQ(running[1].at("size_vram"), 500);
}

TEST(Lists, SayOfAModelThatEmbedsThatItDoesAndNothingElse) {
  llm::BackendView view{.id = "e/m", .role = "e", .model = "m", .state = llm::BackendState::ready, .embeds = true};
  view.context_tokens = 512;
  view.architecture = "nomic-bert";
  view.embedding_numbers = 768;
  const auto shown = boost::json::parse(write_model(view, kNow));
  EXPECT_EQ(shown.at("capabilities"), boost::json::parse(R"(["embedding"])"));
  EXPECT_EQ(shown.at("details").at("family"), "nomic-bert");
  EXPECT_EQ(shown.at("model_info"), boost::json::parse(R"({"general.architecture":"nomic-bert",
    "nomic-bert.context_length":512,"nomic-bert.embedding_length":768})"));
  view.embeds = false;
  EXPECT_EQ(boost::json::parse(write_model(view, kNow)).at("capabilities"),
            boost::json::parse(R"(["completion","tools"])"));
}

}  // namespace
}  // namespace gbgreg::protocols::ollama

#include "protocols/openai.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace gbgreg::protocols::openai {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kPng =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

Result<Asked> parse(std::string_view body, const Limits& limits = {}) { return parse_chat(body, limits); }

std::string with_messages(std::string_view messages) { return R"({"messages":[)" + std::string(messages) + "]}"; }
std::string with_field(std::string_view field) {
  return R"({"messages":[{"role":"user","content":"x"}],)" + std::string(field) + "}";
}

std::string whole(const SentOn& body) { return body.begin + std::string(body.large) + body.end; }

boost::json::object sent(const Asked& asked) {
  return boost::json::parse(whole(engine_body("m", asked.fields))).as_object();
}

TEST(ParseChat, SendsTheClientsOwnBytesOnButForWhatMustChange) {
  const auto got =
      parse(R"({ "model" : "coder", "messages" : [ {"role":"user", "content":"h\u00e9"} ] , "temperature" : 0.50 ,)"
            R"("user":"somebody","metadata":{"a":"b"},"max_completion_tokens":7,"max_tokens":9,"seed":-1,)"
            R"("stop":"END","logit_bias":{"5":-100},"a field of tomorrow":[1]})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.model, "coder");
  EXPECT_EQ(got->request.messages.at(0).text, "hé");
  EXPECT_EQ(got->request.sampling.tokens_max, 7);
  EXPECT_FALSE(got->stream);
  EXPECT_EQ(
      whole(engine_body("m\"", got->fields)),
      R"({"model":"m\"","messages":[ {"role":"user", "content":"h\u00e9"} ],"temperature":0.50,"seed":4294967295,)"
      R"("stop":["END"],"logit_bias":{"5":-100},"max_tokens":7})");
}

TEST(ParseChat, ALargePartIsSentFromTheClientsOwnBytesWhereverItStands) {
  const std::string text(5000, 'x');
  const std::string large = R"([{"role":"user","content":")" + text + R"("}])";
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"look"}}])";
  const std::string messages = R"("messages": )" + large;
  std::string first = "{" + messages;
  first.append(R"(,"top_p":0.5,"stream":true,)").append(tools).append("}");
  std::string last = R"({"stream":true,)" + tools;
  last.append(R"(,"top_p":0.5,)").append(messages).append(" }");
  const std::string alone = "{" + messages + "}";
  for (const std::string& body : {first, last, alone}) {
    const auto got = parse(body);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->fields.large, large);
    EXPECT_GE(got->fields.large.data(), body.data());
    EXPECT_LT(got->fields.large.data(), body.data() + body.size());
    const auto passed = sent(*got);
    EXPECT_EQ(passed.at("messages").at(0).at("content").as_string(), text);
    EXPECT_EQ(passed.at("model").as_string(), "m");
    EXPECT_EQ(passed.contains("tools"), body.contains("tools"));
    EXPECT_EQ(passed.contains("top_p"), body.contains("top_p"));
  }
}

TEST(ParseChat, NullMeansNotSet) {
  const auto got = parse(
      with_field(R"("model":null,"temperature":null,"n":null,"stop":null,"seed":null,"tools":null,"tool_choice":null,)"
                 R"("response_format":null,"stream":null,"stream_options":null,"max_tokens":null,"logit_bias":null,)"
                 R"("logprobs":null,"top_logprobs":null,"reasoning_effort":null,"modalities":null,"functions":null)"));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.model, "auto");
  EXPECT_EQ(got->fields.begin, R"("messages":[{"role":"user","content":"x"}])");
}

TEST(ParseChat, AStreamAlwaysBringsItsFigures) {
  const auto without = parse(with_field(R"("stream":true)"));
  EXPECT_TRUE(without->stream);
  EXPECT_FALSE(without->include_usage);
  EXPECT_THAT(without->fields.begin, HasSubstr(R"("stream":true,"stream_options":{"include_usage":true})"));
  const auto with = parse(with_field(R"("stream":true,"stream_options":{"include_usage":true,"x":1})"));
  EXPECT_TRUE(with->include_usage);
}

TEST(ParseChat, MistakesAreToldByFieldAndRange) {
  struct Case {
    const char* body;
    const char* field;
  };
  const Case cases[] = {
      {R"("temperature":3)", "temperature"},
      {R"("temperature":"hot")", "temperature"},
      {R"("top_p":-0.1)", "top_p"},
      {R"("n":2)", "n"},
      {R"("n":0)", "n"},
      {R"("max_tokens":-1)", "max_tokens"},
      {R"("max_completion_tokens":0)", "max_completion_tokens"},
      {R"("stop":5)", "stop"},
      {R"("logit_bias":"x")", "logit_bias"},
      {R"("tool_choice":"sometimes")", "tool_choice"},
      {R"("tools":[{"type":"web_search"}])", "tools[0]"},
      {R"("response_format":{"type":"xml"})", "response_format"},
      {R"("response_format":{"type":"json_schema"})", "response_format"},
      {R"("top_logprobs":21,"logprobs":true)", "top_logprobs"},
      {R"("reasoning_effort":"most")", "reasoning_effort"},
      {R"("modalities":["audio"])", "modalities[0]"},
      {R"("top_k":-1)", "top_k"},
      {R"("stream":"yes")", "stream"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto got = parse(with_field(c.body));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_EQ(got.error().details_json, "{\"field\":\"" + std::string(c.field) + "\"}");
    EXPECT_EQ(boost::json::parse(write_error(got.error())).at("error").at("param"), c.field);
  }
  EXPECT_FALSE(parse(R"({"model":"m"})"));
  EXPECT_FALSE(parse(R"({"messages":[]})"));
  EXPECT_FALSE(parse(with_field(R"("functions":[])")));
  EXPECT_FALSE(parse(with_field(R"("top_logprobs":2)")));
}

TEST(ParseChat, ABoundedNumberIsSentOnAsItStandsAndNothingBehindIt) {
  const auto got = parse(with_field(R"("top_k":40,"temperature":1,"logit_bias":{"1":-100},"top_p":0.5 )"));
  ASSERT_TRUE(got) << got.error().message;
  const auto body = sent(*got);
  EXPECT_EQ(body.at("top_k"), 40);
  EXPECT_EQ(body.at("temperature"), 1);
  EXPECT_EQ(body.at("top_p"), 0.5);
  EXPECT_EQ(body.at("logit_bias").at("1"), -100);
}

TEST(ParseChat, ProbabilitiesOfTheTokensAloneAreAskedForWithOneOther) {
  struct Case {
    const char* field;
    const char* sent;
  };
  const Case cases[] = {
      {R"("logprobs":true)", R"("logprobs":true,"top_logprobs":1)"},
      {R"("logprobs":true,"top_logprobs":0)", R"("logprobs":true,"top_logprobs":1)"},
      {R"("logprobs":true,"top_logprobs":3)", R"("logprobs":true,"top_logprobs":3)"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.field);
    const auto got = parse(with_field(c.field));
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_THAT(got->fields.begin, HasSubstr(c.sent));
  }
  EXPECT_THAT(parse(with_field(R"("logprobs":false)"))->fields.begin, Not(HasSubstr("logprobs")));
  EXPECT_THAT(parse_completion(R"({"prompt":"x","logprobs":0})", {})->fields.begin, HasSubstr(R"("logprobs":1)"));
}

TEST(ParseChat, RolesAndPartsThatOnlyClientsKnowAreSaidInAWorkersWords) {
  const auto got = parse(with_messages(
      R"({"role":"developer","content":"D"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
      R"({"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"role":"assistant"},{"role":"user","name":"bob","content":"c"})"));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(boost::json::serialize(sent(*got).at("messages")),
            R"([{"role":"system","content":"D"},{"role":"user","content":"ab"},{"role":"assistant","content":"no"},)"
            R"({"role":"assistant","content":""},{"role":"user","content":"c"}])");
}

TEST(ParseChat, ImagesComeAsDataAndAreNeverFetched) {
  const std::string data_url = std::string("data:image/png;base64,") + kPng;
  const auto part = [](std::string_view url) {
    return with_messages(
        R"({"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":")" +
        std::string(url) + R"("}}]})");
  };
  const auto got = parse(part(data_url));
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->request.messages[0].images.size(), 1U);
  EXPECT_EQ(got->request.messages[0].images[0].media_type, "image/png");
  EXPECT_THAT(got->fields.begin, HasSubstr(data_url));
  for (const std::string_view url : {"http://127.0.0.1/x.png", "file:///etc/passwd", "data:text/plain,x", ""}) {
    SCOPED_TRACE(url);
    const auto refused = parse(part(url));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::malformed);
  }
  EXPECT_EQ(parse(part("data:image/png;base64,AAAA")).error().code, "image_not_understood");
  EXPECT_FALSE(parse(with_messages(R"({"role":"user","content":[{"type":"input_audio","input_audio":{}}]})")));
}

TEST(ParseChat, ToolsGoOnAndTheOneThatIsNamedAlone) {
  const auto got = parse(with_field(
      R"("tools":[{"type":"function","function":{"name":"a","parameters":{"type":"object"}}},)"
      R"({"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"function","function":{"name":"b"}},)"
      R"("parallel_tool_calls":true)"));
  ASSERT_TRUE(got) << got.error().message;
  const auto body = sent(*got);
  ASSERT_EQ(body.at("tools").as_array().size(), 1U);
  EXPECT_EQ(body.at("tools").at(0).at("function").at("name"), "b");
  EXPECT_EQ(body.at("tool_choice"), "required");
  EXPECT_EQ(body.at("parallel_tool_calls"), true);
  EXPECT_FALSE(parse(with_field(R"("tool_choice":"required")")));
  EXPECT_FALSE(parse(with_field(
      R"("tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":{"type":"function","function":{"name":"z"}})")));
}

TEST(ParseChat, ReadsCallsAndResultsOfTools) {
  const auto got = parse(with_messages(
      R"({"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",)"
      R"("function":{"name":"look","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"seen"})"));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.messages[1].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(got->request.messages[2].tool_call_id, "c1");
}

TEST(ParseCompletion, TakesOnePromptAndRefusesWhatItCannotHonour) {
  const auto got = parse_completion(R"({"model":"m","prompt":["once"],"max_tokens":3,"logprobs":2})", {});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->fields.begin, R"("prompt":"once","logprobs":2,"max_tokens":3)");
  EXPECT_EQ(got->request.messages.at(0).text, "once");
  for (const char* body : {"{}", R"({"prompt":["a","b"]})", R"({"prompt":[1,2]})", R"({"prompt":"x","echo":true})",
                           R"({"prompt":"x","suffix":"y"})", R"({"prompt":"x","best_of":2})"}) {
    SCOPED_TRACE(body);
    EXPECT_FALSE(parse_completion(body, {}));
  }
}

TEST(WriteError, HasATypeForEveryKindAndNeverTheDetail) {
  for (int kind = 0; kind <= static_cast<int>(Kind::unknown_version); ++kind) {
    const Error error{.kind = static_cast<Kind>(kind), .code = {}, .message = "Do.", .detail = "secret"};
    const std::string text = write_error(error);
    const auto body = boost::json::parse(text).at("error").as_object();
    EXPECT_FALSE(body.at("type").as_string().empty());
    EXPECT_EQ(body.at("code").as_string(), kind_name(error.kind));
    EXPECT_TRUE(body.contains("param"));
    EXPECT_THAT(text, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace gbgreg::protocols::openai

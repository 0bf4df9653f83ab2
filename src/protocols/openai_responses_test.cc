#include "protocols/openai_responses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "protocols/openai.h"

namespace gbgreg::protocols::openai_responses {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::string_view kPng =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

Result<Asked> parse(std::string_view body) { return parse_response(body, {}); }
Result<Asked> with_field(std::string_view field) { return parse(R"({"input":"x",)" + std::string(field) + "}"); }
Result<Asked> of_items(std::string_view items) { return parse(R"({"input":[)" + std::string(items) + "]}"); }

// "param" of the error as a client reads it.
std::string param_of(const Error& error) {
  const auto param = json::parse(openai::write_error(error)).at("error").at("param");
  return param.is_null() ? "" : std::string(param.as_string());
}

TEST(ParseResponse, ATextIsAQuestion) {
  const auto got =
      parse(R"({"model":"org/m:1","input":"Hello","instructions":"Be kind.","stream":true,"temperature":0.5,)"
            R"("top_p":0.9,"max_output_tokens":7,"store":true,"truncation":"auto","user":"u"})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->stream);
  const llm::Request& request = got->request;
  EXPECT_EQ(request.model, "org/m:1");
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.tokens_max, 7);
  ASSERT_EQ(request.messages.size(), 2U);
  EXPECT_EQ(request.messages[0].speaker, llm::Speaker::system);
  EXPECT_EQ(request.messages[0].text, "Be kind.");
  EXPECT_EQ(request.messages[1].speaker, llm::Speaker::user);
  EXPECT_EQ(request.messages[1].text, "Hello");
  EXPECT_EQ(got->echo.instructions, "Be kind.");
}

TEST(ParseResponse, NullMeansNotSet) {
  const auto got = with_field(
      R"("model":null,"instructions":null,"stream":null,"temperature":null,"top_p":null,"tools":null,)"
      R"("tool_choice":null,"text":null,"reasoning":null,"metadata":null,"include":null,"store":null,)"
      R"("previous_response_id":null,"conversation":null,"background":null,"prompt":null,"top_logprobs":null,)"
      R"("max_output_tokens":null,"parallel_tool_calls":null,"deadline_ms":null,"priority":null)");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->request.model, "auto");
  EXPECT_FALSE(got->stream);
  EXPECT_EQ(got->echo.tools_json, "[]");
}

TEST(ParseResponse, PutsTheItemsOfOneTurnTogether) {
  const auto got = of_items(
      R"({"role":"developer","content":"D"},{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},)"
      R"({"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"S"}],"content":[{"type":"reasoning_text","text":"T"}]},)"
      R"({"type":"message","role":"assistant","id":"msg_1","status":"completed","content":[{"type":"output_text","text":"Let me see.","annotations":[]}]},)"
      R"({"type":"function_call","id":"fc_1","call_id":"c1","name":"look","arguments":"{\"a\":1}"},)"
      R"({"type":"function_call","call_id":"c2","name":"hear","arguments":""},)"
      R"({"type":"function_call_output","call_id":"c1","output":"seen"},)"
      R"({"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"heard"}]},)"
      R"({"type":"reasoning","summary":[{"type":"summary_text","text":"S2"}]},)"
      R"({"type":"reasoning","summary":[],"encrypted_content":"x"},)"
      R"({"role":"assistant","content":"Done."},{"role":"assistant","content":"Really."})");
  ASSERT_TRUE(got) << got.error().message;
  const auto& messages = got->request.messages;
  ASSERT_EQ(messages.size(), 7U);
  EXPECT_EQ(messages[0].speaker, llm::Speaker::system);
  EXPECT_EQ(messages[1].text, "ab");
  EXPECT_EQ(messages[2].speaker, llm::Speaker::assistant);
  EXPECT_EQ(messages[2].thinking, "T");
  EXPECT_EQ(messages[2].text, "Let me see.");
  ASSERT_EQ(messages[2].tool_calls.size(), 2U);
  EXPECT_EQ(messages[2].tool_calls[0].id, "c1");
  EXPECT_EQ(messages[2].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[2].tool_calls[1].arguments, "{}");
  EXPECT_EQ(messages[3].speaker, llm::Speaker::tool);
  EXPECT_EQ(messages[3].tool_call_id, "c1");
  EXPECT_EQ(messages[4].text, "heard");
  EXPECT_EQ(messages[5].thinking, "S2");
  EXPECT_EQ(messages[5].text, "Done.");
  EXPECT_EQ(messages[6].text, "Really.");
}

TEST(ParseResponse, CallsThatWaitForEachOtherAreTurnsOfTheirOwn) {
  const auto got = of_items(
      R"({"role":"user","content":"x"},{"type":"function_call","call_id":"c1","name":"a"},{"type":"function_call_output","call_id":"c1","output":"1"},)"
      R"({"type":"function_call","call_id":"c2","name":"b"},{"type":"function_call_output","call_id":"c2","output":"2"})");
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->request.messages.size(), 5U);
  EXPECT_EQ(got->request.messages[3].tool_calls.at(0).id, "c2");
}

TEST(ParseResponse, ImagesStandWithTheUserEvenIfAToolGaveThem) {
  const std::string image =
      R"({"type":"input_image","detail":"auto","image_url":"data:image/png;base64,)" + std::string(kPng) + R"("})";
  const auto got = of_items(
      R"({"role":"user","content":[{"type":"input_text","text":"see"},)" + image +
      R"(]},{"type":"function_call","call_id":"c1","name":"a"},{"type":"function_call","call_id":"c2","name":"a"},)"
      R"({"type":"function_call_output","call_id":"c1","output":[)" +
      image + R"(]},{"type":"function_call_output","call_id":"c2","output":"2"},{"role":"user","content":"and?"})");
  ASSERT_TRUE(got) << got.error().message;
  const auto& messages = got->request.messages;
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].images.size(), 1U);
  EXPECT_EQ(messages[2].images.size(), 0U);
  EXPECT_EQ(messages[4].text, "and?");
  EXPECT_EQ(messages[4].images.size(), 1U);

  const auto at_the_end = of_items(
      R"({"type":"function_call","call_id":"c1","name":"a"},{"type":"function_call_output","call_id":"c1","output":[)" +
      image + "]}");
  ASSERT_TRUE(at_the_end) << at_the_end.error().message;
  ASSERT_EQ(at_the_end->request.messages.size(), 3U);
  EXPECT_EQ(at_the_end->request.messages[2].speaker, llm::Speaker::user);
  EXPECT_EQ(at_the_end->request.messages[2].images.size(), 1U);
}

TEST(ParseResponse, RemembersWhereFilesAreToStand) {
  const auto got = parse(
      R"({"input":[{"role":"user","content":[{"type":"input_text","text":"ab"},{"type":"input_file","file_id":"file-1"},)"
      R"({"type":"input_text","text":"c"},{"type":"input_file","file_id":"file-2"}]}],"instructions":"I"})");
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->files.size(), 2U);
  EXPECT_EQ(got->files[0].id, "file-1");
  EXPECT_EQ(got->files[0].message, 1U);
  EXPECT_EQ(got->files[0].offset, 2U);
  EXPECT_EQ(got->files[1].offset, 3U);
  EXPECT_EQ(got->files[1].field, "input[0].content[3].file_id");
}

TEST(ParseResponse, ReadsToolsFlat) {
  const auto got = with_field(
      R"("tools":[ {"type":"function","name":"look","description":"D","strict":true,"parameters":{"type":"object"}},)"
      "\n"
      R"({"type":"function","name":"hear","parameters":null,"strict":null} ] ,"tool_choice":{"type":"function","name":"look"},"parallel_tool_calls":false)");
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->request.tools.size(), 2U);
  EXPECT_EQ(got->request.tools[0].name, "look");
  EXPECT_EQ(got->request.tools[0].description, "D");
  EXPECT_EQ(got->request.tools[0].parameters_json, R"({"type":"object"})");
  EXPECT_EQ(got->request.tools[1].parameters_json, "");
  EXPECT_EQ(got->request.tool_use, llm::ToolUse::named);
  EXPECT_EQ(got->request.tool_named, "look");
  EXPECT_EQ(got->request.parallel_tool_calls, false);
  EXPECT_FALSE(got->echo.parallel_tool_calls);
  EXPECT_EQ(got->echo.tool_choice_json, R"({"type":"function","name":"look"})");
  EXPECT_THAT(got->echo.tools_json, Not(HasSubstr("\n")));
  EXPECT_EQ(json::parse(got->echo.tools_json).as_array().size(), 2U);
}

TEST(ParseResponse, ReadsFormatsFlat) {
  const auto schema = with_field(
      R"("text":{"verbosity":"low","format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}}})");
  ASSERT_TRUE(schema) << schema.error().message;
  EXPECT_EQ(schema->request.format, llm::Format::schema);
  EXPECT_EQ(schema->request.schema_json, R"({"type":"object"})");
  EXPECT_EQ(json::parse(schema->echo.format_json).at("name"), "n");
  EXPECT_EQ(with_field(R"("text":{"format":{"type":"json_object"}})")->request.format, llm::Format::json);
  EXPECT_EQ(with_field(R"("text":{"format":{"type":"text"}})")->request.format, llm::Format::text);
  EXPECT_EQ(with_field(R"("text":{})")->echo.format_json, R"({"type":"text"})");
}

TEST(ParseResponse, ThinksAsItIsTold) {
  EXPECT_EQ(with_field(R"("reasoning":{"effort":"none"})")->request.think, false);
  EXPECT_EQ(with_field(R"("reasoning":{"effort":"high","summary":"auto"})")->request.think, true);
  EXPECT_EQ(with_field(R"("reasoning":{"effort":"high","summary":"auto"})")->echo.summary, "auto");
  EXPECT_EQ(with_field(R"("reasoning":{"effort":null,"summary":null})")->request.think, std::nullopt);
}

TEST(ParseResponse, MistakesNameTheirField) {
  struct Case {
    const char* field;
    const char* param;
    const char* code = "invalid_field";
  };
  const Case cases[] = {
      {R"("temperature":2.1)", "temperature"},
      {R"("top_p":-0.1)", "top_p"},
      {R"("max_output_tokens":0)", "max_output_tokens"},
      {R"("max_output_tokens":1.5)", "max_output_tokens"},
      {R"("stream":"yes")", "stream"},
      {R"("input":5)", "input"},
      {R"("input":[])", "input"},
      {R"("input":[5])", "input[0]"},
      {R"("input":[{"role":"robot","content":"x"}])", "input[0]"},
      {R"("input":[{"role":"user"}])", "input[0]"},
      {R"("input":[{"role":"user","content":[{"type":"input_audio"}]}])", "input[0].content[0]"},
      {R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"http://127.0.0.1/x.png"}]}])",
       "input[0].content[0].image_url"},
      {R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"file:///etc/passwd"}]}])",
       "input[0].content[0].image_url"},
      {R"("input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}])", "input[0].content[0]"},
      {R"("input":[{"role":"user","content":[{"type":"input_file","file_url":"http://127.0.0.1/"}]}])",
       "input[0].content[0]"},
      {R"("input":[{"role":"user","content":[{"type":"input_file","file_data":"data:text/plain;base64,eA=="}]}])",
       "input[0].content[0]"},
      {R"("input":[{"type":"item_reference","id":"msg_1"}])", "input[0]"},
      {R"("input":[{"type":"web_search_call","id":"ws_1"}])", "input[0]"},
      {R"("input":[{"type":"function_call","name":"a"}])", "input[0]"},
      {R"("input":[{"type":"function_call_output","output":"a"}])", "input[0]"},
      {R"("input":[{"type":"function_call_output","call_id":"a"}])", "input[0]"},
      {R"("instructions":[])", "instructions"},
      {R"("tools":[{"type":"web_search"}])", "tools[0]"},
      {R"("tools":[{"type":"custom","name":"x"}])", "tools[0]"},
      {R"("tools":[{"type":"function","function":{"name":"x"}}])", "tools[0]"},
      {R"("tools":[{"type":"function","name":"x"},{"type":"function","name":"x"}])", "tools"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"web_search"})", "tool_choice"},
      {R"("tool_choice":{"type":"function","name":"x"})", "tool_choice"},
      {R"("text":{"format":{"type":"json_schema","name":"n"}})", "text.format"},
      {R"("text":{"format":{"type":"xml"}})", "text.format"},
      {R"("reasoning":{"effort":"very"})", "reasoning.effort"},
      {R"("reasoning":{"summary":"long"})", "reasoning.summary"},
      {R"("metadata":{"a":1})", "metadata.a"},
      {R"("include":["message.output_text.logprobs"])", "include"},
      {R"("top_logprobs":3)", "top_logprobs"},
      {R"("top_logprobs":21)", "top_logprobs"},
      {R"("prompt":{"id":"pmpt_1"})", "prompt"},
      {R"("deadline_ms":0)", "deadline_ms"},
      {R"("previous_response_id":"resp_1")", "previous_response_id", "not_kept"},
      {R"("conversation":"conv_1")", "conversation", "not_kept"},
      {R"("conversation":{"id":"conv_1"})", "conversation", "not_kept"},
      {R"("background":true)", "background", "not_kept"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.field);
    const auto got = with_field(c.field);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_EQ(got.error().code, c.code);
    EXPECT_EQ(param_of(got.error()), c.param);
  }
  EXPECT_EQ(param_of(parse("{}").error()), "input");
  EXPECT_EQ(param_of(parse(R"({"input":null})").error()), "input");
  EXPECT_EQ(parse("[]").error().code, "invalid_json");
}

TEST(ParseResponse, WhatIsTooMuchIsRefused) {
  Limits limits;
  limits.messages_max = 2;
  limits.files_max = 1;
  limits.images_max = 1;
  limits.tool_calls_max = 1;
  limits.text_bytes_max = 100;
  const auto refused = [&](std::string_view items) {
    const auto got = parse_response(R"({"input":[)" + std::string(items) + "]}", limits);
    return got ? std::string() : got.error().message;
  };
  const std::string user = R"({"role":"user","content":"x"})";
  const std::string call = R"({"type":"function_call","call_id":"c","name":"a"})";
  const std::string file = R"({"type":"input_file","file_id":"file-1"})";
  const std::string image =
      R"({"type":"input_image","image_url":"data:image/png;base64,)" + std::string(kPng) + R"("})";
  const auto says = [](const std::string& parts) { return R"({"role":"user","content":[)" + parts + "]}"; };
  EXPECT_THAT(refused(user + "," + user + "," + user), HasSubstr("2 items"));
  EXPECT_THAT(refused(call + "," + call), HasSubstr("1 calls"));
  EXPECT_THAT(refused(says(file + "," + file)), HasSubstr("1 files"));
  EXPECT_THAT(refused(says(file) + "," + says(file)), HasSubstr("1 files"));
  EXPECT_THAT(refused(says(image + "," + image)), HasSubstr("1 images"));
  EXPECT_THAT(refused(R"({"role":"user","content":")" + std::string(200, 'x') + R"("})"), HasSubstr("100 bytes"));

  std::string pairs;
  for (int i = 0; i < 17; ++i) pairs += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":"v")";
  EXPECT_FALSE(with_field(R"("metadata":{)" + pairs + "}"));
  EXPECT_FALSE(with_field(R"("metadata":{")" + std::string(65, 'k') + R"(":"v"})"));
  EXPECT_FALSE(with_field(R"("metadata":{"k":")" + std::string(513, 'v') + R"("})"));
  std::string umlauts;
  for (int i = 0; i < 512; ++i) umlauts += "ü";
  EXPECT_TRUE(with_field(R"("metadata":{"k":")" + umlauts + R"("})"));
}

TEST(ParseResponse, LongInstructionsAndToolsAreNotSaidAgain) {
  const std::string text(100'000, 'x');
  const auto got = with_field(R"("instructions":")" + text +
                              R"(","tools":[{"type":"function","name":"a","description":")" + text + R"("}])");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->echo.instructions, std::nullopt);
  EXPECT_EQ(got->echo.tools_json, "[]");
  EXPECT_EQ(got->request.messages[0].text, text);
  EXPECT_EQ(got->request.tools[0].description, text);
}

TEST(ParseResponse, WhatAnAnswerSaysAgainMayNotBeMadeLongByWhatNobodyKnows) {
  const std::string junk = R"("junk":")" + std::string(400'000, 'x') + R"("})";
  const std::string tool = R"("tools":[{"type":"function","name":"a"}],)";
  EXPECT_EQ(param_of(with_field(tool + R"("tool_choice":{"type":"function","name":"a",)" + junk).error()),
            "tool_choice");
  EXPECT_EQ(param_of(with_field(R"("text":{"format":{"type":"json_object",)" + junk + "}").error()), "text.format");
}

// ---- Answers

const WallTime kCreated{std::chrono::seconds{1'700'000'000}};
const WallTime kNow{std::chrono::seconds{1'700'000'009}};

llm::Answer answer_of(llm::StopReason reason) {
  llm::Answer answer;
  answer.completion.reason = reason;
  answer.completion.usage = {.prompt_tokens = 7, .cached_prompt_tokens = 2, .completion_tokens = 3};
  answer.notes.request_id = "01a2-b3";
  answer.notes.model = "m";
  return answer;
}

struct Event {
  std::string name;
  json::object data;
};

// Every event has a name that its data say too, and the number behind the last one's.
std::vector<Event> events_in(std::string_view stream) {
  std::vector<Event> events;
  while (!stream.empty()) {
    const std::size_t end = stream.find("\n\n");
    const std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    EXPECT_TRUE(event.starts_with("event: ")) << event;
    const std::size_t line = event.find("\ndata: ");
    EXPECT_EQ(event.find('\n', line + 1), std::string_view::npos) << event;
    events.push_back({std::string(event.substr(7, line - 7)), json::parse(event.substr(line + 7)).as_object()});
    EXPECT_EQ(events.back().data.at("type").as_string(), events.back().name);
    EXPECT_EQ(events.back().data.at("sequence_number"), static_cast<std::int64_t>(events.size()) - 1);
  }
  return events;
}

std::vector<std::string> names_of(const std::vector<Event>& events) {
  std::vector<std::string> names;
  for (const auto& event : events) {
    const auto* index = event.data.if_contains("output_index");
    names.push_back(event.name.substr(event.name.find('.') + 1) +
                    (index != nullptr ? " " + json::serialize(*index) : ""));
  }
  return names;
}

std::vector<llm::Delta> some_pieces() {
  std::vector<llm::Delta> pieces{{.text = {}, .thinking = "h", .tool_calls = {}},
                                 {.text = {}, .thinking = "m", .tool_calls = {}},
                                 {.text = "a", .thinking = {}, .tool_calls = {}},
                                 {.text = "b", .thinking = {}, .tool_calls = {}}};
  const auto call = [&](int index, std::string id, std::string name, std::string arguments) {
    pieces.emplace_back().tool_calls.push_back(
        {.index = index, .id = std::move(id), .name = std::move(name), .arguments = std::move(arguments)});
  };
  call(0, "c0", "look", "{\"a");
  call(0, "", "", "\":1}");
  call(1, "c1", "hear", "");
  return pieces;
}

std::string streamed(const std::vector<llm::Delta>& pieces, llm::StopReason reason, Echo echo = {}) {
  ResponseWriter writer(std::move(echo), kCreated);
  std::string out;
  writer.begin(out, answer_of(reason).notes, kNow);
  for (const auto& piece : pieces) writer.delta(out, piece, kNow);
  writer.end(out, answer_of(reason), kNow);
  return out;
}

json::object whole(const std::vector<llm::Delta>& pieces, llm::StopReason reason, Echo echo = {}) {
  llm::Delta all;
  for (const auto& piece : pieces) all.append(piece);
  std::string out;
  ResponseWriter(std::move(echo), kCreated).whole(out, all, answer_of(reason), kNow);
  return json::parse(out).as_object();
}

TEST(ResponseWriter, TellsEachItemFromItsBeginningToItsEnd) {
  const auto events = events_in(streamed(some_pieces(), llm::StopReason::tool_calls));
  EXPECT_THAT(names_of(events),
              ElementsAre("created", "in_progress",  //
                          "output_item.added 0", "content_part.added 0", "reasoning_text.delta 0",
                          "reasoning_text.delta 0", "reasoning_text.done 0", "content_part.done 0",
                          "output_item.done 0",  //
                          "output_item.added 1", "content_part.added 1", "output_text.delta 1", "output_text.delta 1",
                          "output_text.done 1", "content_part.done 1", "output_item.done 1",  //
                          "output_item.added 2", "function_call_arguments.delta 2", "function_call_arguments.delta 2",
                          "function_call_arguments.done 2", "output_item.done 2",                         //
                          "output_item.added 3", "function_call_arguments.done 3", "output_item.done 3",  //
                          "completed"));
  const auto& created = events[0].data.at("response").as_object();
  EXPECT_EQ(created.at("id"), "resp_01a2b3");
  EXPECT_EQ(created.at("status"), "in_progress");
  EXPECT_EQ(created.at("created_at"), 1'700'000'000);
  EXPECT_TRUE(created.at("usage").is_null());
  EXPECT_THAT(created.at("output").as_array(), IsEmpty());
  EXPECT_EQ(json::serialize(events[9].data.at("item")),
            R"({"id":"msg_01a2b3_1","type":"message","role":"assistant","content":[],"status":"in_progress"})");
  EXPECT_EQ(events[13].data.at("text"), "ab");
  EXPECT_EQ(events[13].data.at("item_id"), "msg_01a2b3_1");
  EXPECT_EQ(events[16].data.at("item").at("arguments"), "");
  EXPECT_EQ(events[19].data.at("arguments"), R"({"a":1})");
  EXPECT_EQ(events[20].data.at("item").at("status"), "completed");
  EXPECT_EQ(events[22].data.at("arguments"), "{}");
}

TEST(ResponseWriter, TheLastEventIsTheWholeAnswer) {
  for (const auto reason : {llm::StopReason::stop, llm::StopReason::length, llm::StopReason::tool_calls}) {
    for (const Echo& echo : {Echo{}, Echo{.summary = "auto"}}) {
      const auto pieces = some_pieces();
      const auto events = events_in(streamed(pieces, reason, echo));
      EXPECT_EQ(events.back().data.at("response"), whole(pieces, reason, echo));
    }
  }
  EXPECT_EQ(events_in(streamed({}, llm::StopReason::stop)).back().data.at("response"),
            whole({}, llm::StopReason::stop));
}

TEST(ResponseWriter, AnAnswerHasEverythingThatClientsLookFor) {
  const auto body = whole(some_pieces(), llm::StopReason::stop);
  EXPECT_EQ(body.at("object"), "response");
  EXPECT_EQ(body.at("status"), "completed");
  EXPECT_EQ(body.at("completed_at"), 1'700'000'009);
  EXPECT_EQ(body.at("store"), false);
  EXPECT_EQ(body.at("model"), "m");
  EXPECT_TRUE(body.at("error").is_null() && body.at("incomplete_details").is_null());
  EXPECT_EQ(json::serialize(body.at("usage")),
            R"({"input_tokens":7,"input_tokens_details":{"cached_tokens":2},"output_tokens":3,)"
            R"("output_tokens_details":{"reasoning_tokens":0},"total_tokens":10})");
  EXPECT_EQ(
      json::serialize(body.at("output")),
      R"([{"id":"rs_01a2b3_0","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"status":"completed"},)"
      R"({"id":"msg_01a2b3_1","type":"message","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"ab"}],"status":"completed"},)"
      R"({"id":"fc_01a2b3_2","type":"function_call","call_id":"c0","name":"look","arguments":"{\"a\":1}","status":"completed"},)"
      R"({"id":"fc_01a2b3_3","type":"function_call","call_id":"c1","name":"hear","arguments":"{}","status":"completed"}])");
}

TEST(ResponseWriter, ThoughtsAreTheirOwnSummaryWhereOneWasAskedFor) {
  const auto events = events_in(streamed(some_pieces(), llm::StopReason::stop, {.summary = "auto"}));
  EXPECT_EQ(events[3].name, "response.reasoning_summary_part.added");
  EXPECT_EQ(events[3].data.at("summary_index"), 0);
  EXPECT_EQ(events[4].name, "response.reasoning_summary_text.delta");
  EXPECT_EQ(events[6].name, "response.reasoning_summary_text.done");
  EXPECT_EQ(events[7].name, "response.reasoning_summary_part.done");
  EXPECT_EQ(
      json::serialize(events.back().data.at("response").at("output").at(0)),
      R"({"id":"rs_01a2b3_0","type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"status":"completed"})");
}

TEST(ResponseWriter, AnAnswerThatIsCutSaysSo) {
  const auto events = events_in(streamed({{.text = "a", .thinking = {}, .tool_calls = {}}}, llm::StopReason::length));
  EXPECT_EQ(events.back().name, "response.incomplete");
  const auto& response = events.back().data.at("response").as_object();
  EXPECT_EQ(response.at("status"), "incomplete");
  EXPECT_EQ(response.at("incomplete_details").at("reason"), "max_output_tokens");
  EXPECT_EQ(response.at("output").at(0).at("status"), "incomplete");
  EXPECT_TRUE(response.at("completed_at").is_null());
}

TEST(ResponseWriter, AnAnswerOfNoWordsIsAnEmptyMessage) {
  const auto body = whole({}, llm::StopReason::stop);
  EXPECT_EQ(body.at("output").at(0).at("content").at(0).at("text"), "");
  EXPECT_EQ(names_of(events_in(streamed({}, llm::StopReason::stop))),
            (std::vector<std::string>{"created", "in_progress", "output_item.added 0", "content_part.added 0",
                                      "output_text.done 0", "content_part.done 0", "output_item.done 0", "completed"}));
}

TEST(ResponseWriter, AnAnswerThatBreaksOffSaysWhyTwice) {
  ResponseWriter writer({}, kCreated);
  std::string out;
  writer.begin(out, answer_of({}).notes, kNow);
  writer.delta(out, {.text = "a", .thinking = {}, .tool_calls = {}}, kNow);
  writer.broken(
      out, {.kind = Kind::backend_failed, .code = "backend_failed", .message = "Try again.", .detail = "secret"}, "r");
  const auto events = events_in(out);
  const auto& error = events[events.size() - 2];
  EXPECT_EQ(error.name, "error");
  EXPECT_EQ(error.data.at("message"), "Try again.");
  EXPECT_EQ(error.data.at("error").at("message"), "Try again.");
  EXPECT_EQ(events.back().name, "response.failed");
  const auto& response = events.back().data.at("response").as_object();
  EXPECT_EQ(response.at("status"), "failed");
  EXPECT_EQ(response.at("error").at("code"), "server_error");
  EXPECT_EQ(response.at("output").at(0).at("status"), "incomplete");
  EXPECT_THAT(out, Not(HasSubstr("secret")));
}

TEST(ResponseWriter, SaysAgainWhatWasAsked) {
  const auto asked = parse(R"({"input":"x","instructions":"I","temperature":0.5,"top_p":0.25,"max_output_tokens":9,
    "metadata":{"k":"v"},
    "tools":[{"type":"function","name":"look",
              "parameters":{"type":"object"}}],
    "tool_choice":"auto","reasoning":{"effort":"low"},"text":{"format":{"type":"json_object"}}})");
  ASSERT_TRUE(asked) << asked.error().message;
  const auto events = events_in(streamed(some_pieces(), llm::StopReason::stop, asked->echo));
  for (const auto* event : {&events.front(), &events.back()}) {
    const auto& response = event->data.at("response").as_object();
    EXPECT_EQ(response.at("instructions"), "I");
    EXPECT_EQ(response.at("temperature"), 0.5);
    EXPECT_EQ(response.at("top_p"), 0.25);
    EXPECT_EQ(response.at("max_output_tokens"), 9);
    EXPECT_EQ(response.at("metadata").at("k"), "v");
    EXPECT_EQ(response.at("tools").at(0).at("parameters").at("type"), "object");
    EXPECT_EQ(response.at("tool_choice"), "auto");
    EXPECT_EQ(response.at("reasoning").at("effort"), "low");
    EXPECT_EQ(response.at("text").at("format").at("type"), "json_object");
  }
}

TEST(ResponseWriter, ACallWithoutANumberGetsOne) {
  const auto body =
      whole({{.text = {}, .thinking = {}, .tool_calls = {{.index = 0, .id = {}, .name = "a", .arguments = {}}}}},
            llm::StopReason::tool_calls);
  EXPECT_EQ(body.at("output").at(0).at("call_id"), "call_01a2b3_0");
}

}  // namespace
}  // namespace gbgreg::protocols::openai_responses

// POST /v1/responses: what is asked.
#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "protocols/json_reader.h"
#include "protocols/openai_responses.h"
#include "protocols/openai_responses_input.h"
#include "protocols/request_fields.h"
#include "protocols/tools.h"

namespace gbgreg::protocols::openai_responses {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr int kTopLogprobsMax = 20;

std::unexpected<Error> wrong(std::string_view field, std::string code, std::string sentence) {
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = std::move(code),
                               .message = std::move(sentence),
                               .details_json = R"({"field":")" + std::string(field) + R"("})"});
}

std::unexpected<Error> not_kept(std::string_view field) {
  return wrong(field, "not_kept",
               "Nothing of a conversation is kept here: leave \"" + std::string(field) +
                   "\" out and send all of it as items in \"input\".");
}

std::unexpected<Error> no_logprobs(std::string_view field) {
  return wrong(field, "invalid_field",
               "This route gives no log probabilities: leave them out, or ask POST /v1/chat/completions.");
}

std::size_t characters(std::string_view utf8) {
  return static_cast<std::size_t>(std::ranges::count_if(utf8, [](char c) { return (c & '\xC0') != '\x80'; }));
}

// The JSON of a value as it stands in the body, in one line: a line break in JSON is always between two values.
class Verbatim {
 public:
  Verbatim(std::string_view body, JsonValue& value) : body_(body), value_(value), begin_(value.begin_offset()) {}

  // Once the value has been read. Errors: malformed when it is longer, since an answer says it again.
  Result<void> take(std::string& out, std::size_t bytes_max) const {
    std::string json = text();
    if (json.size() > bytes_max) return value_.must_be("at most " + std::to_string(bytes_max) + " bytes long");
    out = std::move(json);
    return {};
  }
  std::string text() const {
    std::string json(body_.substr(begin_, value_.end_offset() - begin_));
    std::ranges::replace_if(json, [](char c) { return c == '\n' || c == '\r'; }, ' ');
    json.erase(json.find_last_not_of(" \t") + 1);
    return json;
  }

 private:
  std::string_view body_;
  const JsonValue& value_;
  std::size_t begin_;
};

// {"type":"function","name","description"?,"parameters"?}, flat where a chat's has a "function" around it.
Result<void> read_tool(JsonValue& value, const Limits& limits, llm::Tool& tool) {
  std::string type;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "name") return field.read_text(tool.name, limits.tool_name_bytes_max);
    if (name == "description") return field.read_text(tool.description);
    if (name != "parameters" || field.type() == JsonType::null) return {};
    if (field.type() != JsonType::object) return field.must_be("a JSON schema");
    return field.read_raw(tool.parameters_json, limits.schema_bytes_max);
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type != "function") return value.must_be("a tool of type \"function\": those that OpenAI runs are not here");
  if (tool.name.empty()) return value.must_be("a function with its \"name\" beside its \"type\"");
  return {};
}

Result<void> read_own_tools(JsonValue& value, const Limits& limits, std::vector<llm::Tool>& tools) {
  tools.clear();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (tools.size() == limits.tools_max) {
      return value.must_be("at most " + std::to_string(limits.tools_max) + " tools");
    }
    return read_tool(element, limits, tools.emplace_back());
  });
}

// {"type":"json_schema","name","schema"}, flat too.
Result<void> read_text_format(JsonValue& value, const Limits& limits, llm::Request& request) {
  std::string type;
  request.schema_json.clear();
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name != "schema" || field.type() == JsonType::null) return {};
    if (field.type() != JsonType::object) return field.must_be("a JSON schema");
    return field.read_raw(request.schema_json, limits.schema_bytes_max);
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type == "text") {
    request.format = llm::Format::text;
  } else if (type == "json_object") {
    request.format = llm::Format::json;
  } else if (type == "json_schema" && !request.schema_json.empty()) {
    request.format = llm::Format::schema;
  } else {
    return value.must_be("of type \"text\", \"json_object\", or \"json_schema\" with a \"schema\"");
  }
  return {};
}

// Takes a request apart, field by field.
class Reader {
 public:
  Reader(std::string_view body, const Limits& limits, Asked& asked) : body_(body), limits_(limits), asked_(asked) {}

  Result<void> read_field(std::string_view name, JsonValue& value) {
    llm::Request& request = asked_.request;
    Echo& echo = asked_.echo;
    if (name == "model") return value.read_text(request.model, limits_.model_bytes_max);
    if (name == "stream") return value.read_boolean(stream_);
    if (name == "background") return value.read_boolean(background_);
    if (name == "temperature") return value.read_number(echo.temperature, 0, 2);
    if (name == "top_p") return value.read_number(echo.top_p, 0, 1);
    if (name == "max_output_tokens") return value.read_integer(echo.output_tokens_max, 1, kIntMax);
    if (name == "top_logprobs") return value.read_integer(top_logprobs_, 0, kTopLogprobsMax);
    if (name == "parallel_tool_calls") return value.read_boolean(request.parallel_tool_calls);
    if (name == "priority") return read_priority(value, request.priority);
    if (name == "deadline_ms") return value.read_integer(request.deadline_ms, 1, limits_.deadline_ms_max);
    if (value.type() == JsonType::null) return {};  // All below take it for "not set".
    if (name == "input") return read_input(value, limits_, asked_);
    if (name == "instructions") return value.read_text(instructions_.emplace());
    if (name == "tools") return read_tools(value);
    if (name == "tool_choice") return read_choice(value);
    if (name == "text") return read_text(value);
    if (name == "reasoning") return read_reasoning(value);
    if (name == "metadata") return read_metadata(value);
    if (name == "include") return read_include(value);
    if (name == "previous_response_id" || name == "conversation") return not_kept(name);
    if (name == "prompt") {
      return wrong(name, "invalid_field",
                   "No prompts are kept here: leave \"prompt\" out and send its text in \"input\".");
    }
    return {};
  }

  Result<void> finish() {
    llm::Request& request = asked_.request;
    Echo& echo = asked_.echo;
    if (background_.value_or(false)) {
      return wrong("background", "not_kept", "No answer is kept here to be fetched later: leave \"background\" out.");
    }
    if (top_logprobs_.value_or(0) > 0) return no_logprobs("top_logprobs");
    if (request.messages.empty()) {
      return wrong("input", "invalid_field", "\"input\" must hold a text, or at least one item.");
    }
    if (instructions_) put_first(std::move(*instructions_));
    if (request.model.empty()) request.model = "auto";
    asked_.stream = stream_.value_or(false);
    if (echo.effort) request.think = *echo.effort != "none";
    request.sampling.temperature = echo.temperature;
    request.sampling.top_p = echo.top_p;
    request.sampling.tokens_max = echo.output_tokens_max;
    echo.parallel_tool_calls = request.parallel_tool_calls.value_or(true);
    if (auto checked = check_tools(request); !checked) return checked;
    return check_text_size(request, limits_);
  }

 private:
  Result<void> read_tools(JsonValue& value) {
    const Verbatim verbatim(body_, value);
    auto read = read_own_tools(value, limits_, asked_.request.tools);
    if (read) asked_.echo.tools_json = verbatim.text();
    if (asked_.echo.tools_json.size() > limits_.echo_bytes_max) asked_.echo.tools_json = "[]";
    return read;
  }

  Result<void> read_choice(JsonValue& value) {
    const Verbatim verbatim(body_, value);
    auto read = read_tool_choice(value, limits_, asked_.request);
    return read ? verbatim.take(asked_.echo.tool_choice_json, limits_.echo_bytes_max) : read;
  }

  Result<void> read_text(JsonValue& value) {
    return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
      if (name != "format" || field.type() == JsonType::null) return {};
      const Verbatim verbatim(body_, field);
      auto read = read_text_format(field, limits_, asked_.request);
      return read ? verbatim.take(asked_.echo.format_json, limits_.schema_bytes_max + limits_.echo_bytes_max) : read;
    });
  }

  Result<void> read_reasoning(JsonValue& value) {
    Echo& echo = asked_.echo;
    return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
      if (field.type() == JsonType::null) return {};
      if (name == "effort") return read_effort(field, echo.effort);
      if (name == "summary" || name == "generate_summary") {
        std::string& summary = echo.summary.emplace();
        if (auto read = field.read_text(summary); !read) return read;
        if (summary == "auto" || summary == "concise" || summary == "detailed") return {};
        return field.must_be("\"auto\", \"concise\" or \"detailed\"");
      }
      return {};
    });
  }

  Result<void> read_metadata(JsonValue& value) {
    const Verbatim verbatim(body_, value);
    std::size_t pairs = 0;
    auto read_pair = [&](std::string_view key, JsonValue& field) -> Result<void> {
      if (++pairs > limits_.metadata_pairs_max || characters(key) > limits_.metadata_key_characters_max) {
        return value.must_be("at most " + std::to_string(limits_.metadata_pairs_max) + " pairs, with keys of at most " +
                             std::to_string(limits_.metadata_key_characters_max) + " characters");
      }
      std::string text;
      if (field.type() != JsonType::text) return field.must_be("a string");
      if (auto read = field.read_text(text); !read) return read;
      if (characters(text) <= limits_.metadata_value_characters_max) return {};
      return field.must_be("at most " + std::to_string(limits_.metadata_value_characters_max) + " characters long");
    };
    auto read = value.each_field(read_pair);
    if (read) asked_.echo.metadata_json = verbatim.text();
    return read;
  }

  static Result<void> read_include(JsonValue& value) {
    return value.each_element([](JsonValue& element) -> Result<void> {
      std::string_view what;
      if (auto read = element.read_text(what); !read) return read;
      if (what == "message.output_text.logprobs") return no_logprobs("include");
      return {};
    });
  }

  void put_first(std::string instructions) {
    if (instructions.size() <= limits_.echo_bytes_max) asked_.echo.instructions = instructions;
    auto& messages = asked_.request.messages;
    messages.insert(messages.begin(), {.speaker = llm::Speaker::system, .text = std::move(instructions)});
    for (NamedFile& file : asked_.files) ++file.message;
  }

  std::string_view body_;
  const Limits& limits_;
  Asked& asked_;
  std::optional<bool> stream_, background_;
  std::optional<int> top_logprobs_;
  std::optional<std::string> instructions_;
};

}  // namespace

Result<Asked> parse_response(std::string_view body, const Limits& limits) {
  Asked asked;
  Reader reader(body, limits, asked);
  auto read_field = [&](std::string_view name, JsonValue& value) { return reader.read_field(name, value); };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));
  if (auto done = reader.finish(); !done) return std::unexpected(std::move(done.error()));
  return asked;
}

}  // namespace gbgreg::protocols::openai_responses

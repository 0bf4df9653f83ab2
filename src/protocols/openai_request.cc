// POST /v1/chat/completions and POST /v1/completions: what is asked, and what of it is sent on.
#include <algorithm>
#include <limits>

#include "protocols/engine_wire.h"
#include "protocols/json_reader.h"
#include "protocols/json_writer.h"
#include "protocols/openai.h"
#include "protocols/openai_messages.h"
#include "protocols/request_fields.h"
#include "protocols/tools.h"

namespace gbgreg::protocols::openai {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr int kTopLogprobsMax = 20;

// Fields whose bytes are sent on as they are once they have been checked, each of one kind.
struct NumberField {
  std::string_view name;
  std::optional<double> llm::Sampling::* target;
  double low, high;
};
constexpr NumberField kNumberFields[] = {
    {"temperature", &llm::Sampling::temperature, 0, 2},
    {"top_p", &llm::Sampling::top_p, 0, 1},
    {"presence_penalty", &llm::Sampling::presence_penalty, -2, 2},
    {"frequency_penalty", &llm::Sampling::frequency_penalty, -2, 2},
};
// Not OpenAI's own, but widely sent.
constexpr NumberField kExtensionFields[] = {
    {"min_p", &llm::Sampling::min_p, 0, 1},
    {"typical_p", &llm::Sampling::typical_p, 0, 1},
    {"repeat_penalty", &llm::Sampling::repeat_penalty, 0.01, 2},
};

// Takes a request apart, and puts together what is sent on.
class Reader {
 public:
  Reader(std::string_view body, const Limits& limits, Asked& asked) : body_(body), limits_(limits), asked_(asked) {}

  // Fields that chat and completions have in common. Says whether it knew the name.
  Result<bool> read_common(std::string_view name, JsonValue& value) {
    llm::Sampling& sampling = asked_.request.sampling;
    for (const auto& known : kNumberFields) {
      if (name != known.name) continue;
      return passed_on(name, value, value.type() != JsonType::null,
                       [&] { return value.read_number(sampling.*known.target, known.low, known.high); });
    }
    for (const auto& known : kExtensionFields) {
      if (name != known.name) continue;
      return kept_apart(known.name, value,
                        [&] { return value.read_number(sampling.*known.target, known.low, known.high); });
    }
    if (name == "top_k") {
      return kept_apart("top_k", value, [&] { return value.read_integer(sampling.top_k, 0, 100'000); });
    }
    if (name == "model") return known(value.read_text(asked_.request.model, limits_.model_bytes_max));
    if (name == "stream") return known(value.read_boolean(stream_));
    if (name == "stream_options") return known(read_stream_options(value));
    if (name == "seed") return known(read_seed(value));
    if (name == "stop") return known(read_stop(name, value));
    if (name == "n" || name == "best_of") return known(read_one(name, value));
    if (name == "logit_bias") {
      const bool is_set = value.type() != JsonType::null;
      if (is_set && value.type() != JsonType::object && value.type() != JsonType::array) {
        return std::unexpected(value.must_be("an object from tokens to numbers").error());
      }
      return passed_on(name, value, is_set, [&] { return value.skip(); });
    }
    if (name == "priority") return known(read_priority(value, asked_.request.priority));
    if (name == "deadline_ms") return known(value.read_integer(asked_.request.deadline_ms, 1, limits_.deadline_ms_max));
    return false;
  }

  // Reads a value by `read`, and if that went well sends its bytes on under its own name.
  template <class Read>
  Result<bool> passed_on(std::string_view name, JsonValue& value, bool is_set, Read read) {
    const std::size_t begin = value.begin_offset();
    if (Result<void> done = read(); !done) return std::unexpected(std::move(done.error()));
    if (is_set) add_raw(name, begin, value.end_offset());
    return true;
  }

  // The same for a field that not every server has. One that is given twice is what it was given last.
  template <class Read>
  Result<bool> kept_apart(std::string_view ours, JsonValue& value, Read read) {
    const bool is_set = value.type() != JsonType::null;
    const std::size_t begin = value.begin_offset();
    if (Result<void> done = read(); !done) return std::unexpected(std::move(done.error()));
    auto& extensions = asked_.fields.extensions;
    std::erase_if(extensions, [&](const Extension& one) { return one.name == ours; });
    if (is_set) extensions.push_back({.name = ours, .json = std::string(bytes_of(begin, value.end_offset()))});
    return true;
  }

  std::string_view bytes_of(std::size_t begin, std::size_t end) const {
    std::string_view bytes = body_.substr(begin, end - begin);
    while (!bytes.empty() && std::string_view(" \t\r\n").contains(bytes.back())) bytes.remove_suffix(1);
    return bytes;
  }

  static Result<bool> known(Result<void> read) {
    if (!read) return std::unexpected(std::move(read.error()));
    return true;
  }

  void add_raw(std::string_view name, std::size_t begin, std::size_t end) {
    // From here on a copy costs more than one more part of a write.
    constexpr std::size_t kLargeBytesMin = 4096;
    const std::string_view bytes = bytes_of(begin, end);
    std::string& to = add(name);
    if (bytes.size() < kLargeBytesMin || !asked_.fields.large.empty()) {
      to.append(bytes);
    } else {
      asked_.fields.large = bytes;
    }
  }

  // The string to append the value to.
  std::string& add(std::string_view name) {
    std::string& to = end();
    if (!asked_.fields.begin.empty()) to += ',';
    return to.append("\"").append(name).append("\":");
  }
  // Fields that are written already.
  void add_fields(std::string_view written) {
    if (written.empty()) return;
    std::string& to = end();
    if (!asked_.fields.begin.empty()) to += ',';
    to.append(written);
  }

  Result<void> finish(std::optional<int> tokens_max) {
    asked_.stream = stream_.value_or(false);
    if (asked_.request.model.empty()) asked_.request.model = "auto";
    if (tokens_max) {
      asked_.request.sampling.tokens_max = tokens_max;
      add("max_tokens").append(std::to_string(*tokens_max));
    }
    if (asked_.stream) {
      // Asked of the worker in any case, for our own figures; the relay leaves them out when the client did not.
      add("stream").append("true");
      add("stream_options").append(R"({"include_usage":true})");
    }
    if (auto checked = check_tools(asked_.request); !checked) return checked;
    return check_text_size(asked_.request, limits_);
  }

 private:
  // What the next field is appended to.
  std::string& end() { return asked_.fields.large.empty() ? asked_.fields.begin : asked_.fields.end; }

  Result<void> read_stream_options(JsonValue& value) {
    if (value.type() == JsonType::null) return value.skip();
    std::optional<bool> include_usage;
    auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
      if (name == "include_usage") return field.read_boolean(include_usage);
      return {};
    };
    auto read = value.each_field(read_field);
    asked_.include_usage = include_usage.value_or(false);
    return read;
  }

  // A worker's seeds have 32 bits, and no sign.
  Result<void> read_seed(JsonValue& value) {
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    auto& seed = asked_.request.sampling.seed;
    if (auto read = value.read_integer(seed, -kMax - 1, kMax); !read || !seed) return read;
    seed = *seed & 0xFFFFFFFFLL;
    add("seed").append(std::to_string(*seed));
    return {};
  }

  Result<void> read_stop(std::string_view name, JsonValue& value) {
    auto& stops = asked_.request.sampling.stop;
    if (auto read = read_stops(value, limits_, stops); !read || stops.empty()) return read;
    JsonWriter json(add(name));
    json.open_array();
    for (const auto& stop : stops) json.text(stop);
    json.close_array();
    return {};
  }

  Result<void> read_one(std::string_view, JsonValue& value) {
    std::optional<int> count;
    if (auto read = value.read_integer(count, 1, kIntMax); !read) return read;
    if (count.value_or(1) != 1) return value.must_be("1: each request here gets one answer; send it again for another");
    return {};
  }

  std::string_view body_;
  const Limits& limits_;
  Asked& asked_;
  std::optional<bool> stream_;
};

Result<void> read_response_format(JsonValue& value, const Limits& limits, llm::Request& request) {
  request.format = llm::Format::text;
  if (value.type() == JsonType::null) return value.skip();
  std::string type;
  bool has_schema = false;
  auto read_schema = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name != "schema" || field.type() == JsonType::null) return {};
    has_schema = true;
    return field.read_raw(request.schema_json, limits.schema_bytes_max);
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "json_schema") return field.each_field(read_schema);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type == "text") return {};
  if (type == "json_object") {
    request.format = llm::Format::json;
    return {};
  }
  if (type == "json_schema" && has_schema) {
    request.format = llm::Format::schema;
    return {};
  }
  return value.must_be("of type \"text\", \"json_object\", or \"json_schema\" with a schema in \"json_schema\"");
}

// How many of the likeliest tokens to ask for: a worker that is asked for none leaves out the token's own probability.
int workers_logprobs(std::optional<int> asked) { return std::max(1, asked.value_or(0)); }

// What would have to change the answer, and cannot.
Result<void> read_modalities(JsonValue& value) {
  if (value.type() == JsonType::null) return value.skip();
  return value.each_element([](JsonValue& element) -> Result<void> {
    std::string_view modality;
    if (auto read = element.read_text(modality); !read) return read;
    if (modality != "text") return element.must_be("\"text\": the models here do not speak");
    return {};
  });
}

}  // namespace

Result<Asked> parse_chat(std::string_view body, const Limits& limits) {
  Asked asked;
  llm::Request& request = asked.request;
  Reader reader(body, limits, asked);
  std::optional<int> tokens_max, completion_tokens_max, top_logprobs;
  std::optional<bool> logprobs;
  std::optional<std::string> effort;
  bool has_messages = false;

  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    const bool is_set = value.type() != JsonType::null;
    if (name == "messages") {
      has_messages = true;
      bool as_they_are = true;
      const std::size_t begin = value.begin_offset();
      if (auto read = read_chat_messages(value, limits, request.messages, as_they_are); !read) return read;
      if (as_they_are) {
        reader.add_raw(name, begin, value.end_offset());
      } else {
        engine_wire::write_messages(reader.add(name), request.messages);
      }
      return {};
    }
    if (name == "max_tokens") return value.read_integer(tokens_max, 1, kIntMax);
    if (name == "max_completion_tokens") return value.read_integer(completion_tokens_max, 1, kIntMax);
    if (name == "tools") return read_tools(value, limits, request.tools);
    if (name == "tool_choice") return read_tool_choice(value, limits, request);
    if (name == "parallel_tool_calls") return value.read_boolean(request.parallel_tool_calls);
    if (name == "reasoning_effort") return read_effort(value, effort);
    if (name == "modalities") return read_modalities(value);
    if (name == "response_format") {
      auto read = reader.passed_on(name, value, is_set, [&] { return read_response_format(value, limits, request); });
      return read ? Result<void>{} : std::unexpected(std::move(read.error()));
    }
    if (name == "logprobs") return value.read_boolean(logprobs);
    if (name == "top_logprobs") return value.read_integer(top_logprobs, 0, kTopLogprobsMax);
    if (name == "functions" && is_set) {
      return fail(Kind::malformed, "invalid_field", "\"functions\" is no longer taken: send them as \"tools\".");
    }
    auto read = reader.read_common(name, value);
    return read ? Result<void>{} : std::unexpected(std::move(read.error()));
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));

  if (!has_messages || request.messages.empty()) {
    return std::unexpected(Error{.kind = Kind::malformed,
                                 .code = "invalid_field",
                                 .message = "\"messages\" must hold at least one message.",
                                 .details_json = R"({"field":"messages"})"});
  }
  if (top_logprobs && !logprobs.value_or(false)) {
    return fail(Kind::malformed, "invalid_field", "\"top_logprobs\" must come with \"logprobs\": true.");
  }
  if (effort) request.think = *effort != "none";
  if (logprobs.value_or(false)) {
    reader.add("logprobs").append("true");
    reader.add("top_logprobs").append(std::to_string(workers_logprobs(top_logprobs)));
  }
  std::string tool_fields;
  engine_wire::write_tool_fields(tool_fields, request);
  reader.add_fields(tool_fields);
  if (request.think) {
    asked.fields.extensions.push_back({.name = "think", .json = engine_wire::thinking_value(*request.think)});
  }
  if (auto done = reader.finish(completion_tokens_max ? completion_tokens_max : tokens_max); !done) {
    return std::unexpected(std::move(done.error()));
  }
  return asked;
}

Result<Asked> parse_completion(std::string_view body, const Limits& limits) {
  Asked asked;
  llm::Request& request = asked.request;
  Reader reader(body, limits, asked);
  std::string prompt;
  bool has_prompt = false;
  std::optional<int> tokens_max, logprobs;
  std::optional<bool> echo;
  std::string suffix;

  auto read_prompt = [&](JsonValue& value) -> Result<void> {
    constexpr std::string_view kWanted = "a string, or an array of one string";
    if (value.type() == JsonType::null) return value.skip();
    has_prompt = true;
    if (value.type() == JsonType::text) return value.read_text(prompt);
    if (value.type() != JsonType::array) return value.must_be(kWanted);
    int count = 0;
    return value.each_element([&](JsonValue& element) -> Result<void> {
      if (++count > 1 || element.type() != JsonType::text) return value.must_be(kWanted);
      return element.read_text(prompt);
    });
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "prompt") return read_prompt(value);
    if (name == "max_tokens") return value.read_integer(tokens_max, 1, kIntMax);
    if (name == "logprobs") return value.read_integer(logprobs, 0, kTopLogprobsMax);
    if (name == "echo") return value.read_boolean(echo);
    if (name == "suffix") return value.read_text(suffix);
    auto read = reader.read_common(name, value);
    return read ? Result<void>{} : std::unexpected(std::move(read.error()));
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));

  if (!has_prompt) return fail(Kind::malformed, "invalid_field", "Put the text to be continued into \"prompt\".");
  if (echo.value_or(false)) return fail(Kind::malformed, "invalid_field", "\"echo\" is not supported: leave it out.");
  if (!suffix.empty()) return fail(Kind::malformed, "invalid_field", "\"suffix\" is not supported: leave it out.");
  append_json_text(reader.add("prompt"), prompt);
  request.messages.push_back({.speaker = llm::Speaker::user, .text = std::move(prompt)});
  if (logprobs) {
    asked.logprobs = logprobs;
    reader.add("logprobs").append(std::to_string(workers_logprobs(logprobs)));
  }
  if (auto done = reader.finish(tokens_max); !done) return std::unexpected(std::move(done.error()));
  return asked;
}

}  // namespace gbgreg::protocols::openai

#include "protocols/engine_wire.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "core/utf8.h"
#include "protocols/engine_error.h"
#include "protocols/json_reader.h"

namespace gbgreg::protocols::engine_wire {
namespace {

constexpr int kTokensMax = std::numeric_limits<int>::max();
constexpr std::size_t kToolCallsMax = 256;
constexpr double kMillisecondsMax = 1e12;

// What is understood of one event, or of a whole answer.
struct Event {
  bool known_shape = false;  // It had choices, usage or an error: anything else is not an answer.
  std::string_view content = {};
  std::string_view thinking = {};
  std::vector<llm::ToolCallPiece> tool_calls = {};
  std::string_view finish_reason = {};
  std::string_view stop_sequence = {};
  std::optional<int> prompt_tokens = {}, completion_tokens = {}, cached_tokens = {};
  std::optional<int> prompt_n = {}, predicted_n = {}, cache_n = {};
  std::optional<double> prompt_ms = {}, predicted_ms = {};
  std::optional<Error> error = {};
};

Result<void> read_tool_call(JsonValue& value, llm::ToolCallPiece& call) {
  std::optional<int> index;
  auto read_function = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "name") return field.read_text(call.name);
    if (name == "arguments") return field.read_text(call.arguments);
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "index") return field.read_integer(index, 0, kToolCallsMax - 1);
    if (name == "id") return field.read_text(call.id);
    if (name == "function" && field.type() == JsonType::object) return field.each_field(read_function);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  call.index = index.value_or(call.index);
  return {};
}

// A delta has the calls' own numbers, a whole message lists them in order.
Result<void> read_tool_calls(JsonValue& value, std::vector<llm::ToolCallPiece>& calls) {
  if (value.type() == JsonType::null) return value.skip();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (calls.size() == kToolCallsMax) return element.must_be("one of fewer tool calls");
    calls.emplace_back().index = static_cast<int>(calls.size()) - 1;
    return read_tool_call(element, calls.back());
  });
}

Result<void> read_choice(JsonValue& choice, Event& event) {
  std::optional<int> index;
  std::string_view content;
  std::string_view thinking;
  std::string_view finish_reason;
  std::vector<llm::ToolCallPiece> tool_calls;
  auto read_message = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "content") return field.read_text(content);
    if (name == "reasoning_content" || name == "reasoning") return field.read_text(thinking);
    if (name == "tool_calls") return read_tool_calls(field, tool_calls);
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "delta" || name == "message") return field.each_field(read_message);
    if (name == "text") return field.read_text(content);  // Of the older completions, which have no message.
    if (name == "finish_reason") return field.read_text(finish_reason);
    if (name == "index") return field.read_integer(index, 0, kTokensMax);
    return {};
  };
  if (auto read = choice.each_field(read_field); !read) return read;
  // One answer was asked for.
  if (index.value_or(0) != 0) return {};
  event.content = content;
  event.thinking = thinking;
  event.tool_calls = std::move(tool_calls);
  if (!finish_reason.empty()) event.finish_reason = finish_reason;
  return {};
}

Result<void> read_usage(JsonValue& value, Event& event) {
  if (value.type() == JsonType::null) return value.skip();
  auto read_details = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "cached_tokens") return field.read_integer(event.cached_tokens, 0, kTokensMax);
    return {};
  };
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "prompt_tokens") return field.read_integer(event.prompt_tokens, 0, kTokensMax);
    if (name == "completion_tokens") return field.read_integer(event.completion_tokens, 0, kTokensMax);
    if (name == "prompt_tokens_details" && field.type() == JsonType::object) return field.each_field(read_details);
    return {};
  });
}

Result<void> read_timings(JsonValue& value, Event& event) {
  if (value.type() == JsonType::null) return value.skip();
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    // The worker says -1 for what it did not do.
    if (name == "prompt_n") return field.read_integer(event.prompt_n, -1, kTokensMax);
    if (name == "predicted_n") return field.read_integer(event.predicted_n, -1, kTokensMax);
    if (name == "cache_n") return field.read_integer(event.cache_n, -1, kTokensMax);
    if (name == "prompt_ms") return field.read_number(event.prompt_ms, -1, kMillisecondsMax);
    if (name == "predicted_ms") return field.read_number(event.predicted_ms, -1, kMillisecondsMax);
    return {};
  });
}

// What the worker adds when it was asked to say which stop sequence it met; it is never anything else's business.
Result<void> read_verbose(JsonValue& value, Event& event) {
  if (value.type() != JsonType::object) return value.skip();
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "stopping_word") return field.read_text(event.stop_sequence);
    return {};
  });
}

// Calls use(event) while the views in it are good. Errors: of the JSON, in a client's terms; the caller turns them.
template <class Use>
Result<void> read_event(std::string_view json, std::size_t bytes_max, Use use) {
  Event event;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "choices") {
      event.known_shape = true;
      return value.each_element([&](JsonValue& choice) { return read_choice(choice, event); });
    }
    if (name == "usage") return read_usage(value, event);
    if (name == "timings") return read_timings(value, event);
    if (name == "__verbose") return read_verbose(value, event);
    if (name == "error") {
      if (value.type() == JsonType::null) return value.skip();
      event.known_shape = true;
      EngineError error;
      if (auto read = read_engine_error(value, error); !read) return read;
      event.error = understood(error.code.value_or(500), error);
    }
    return {};
  };
  const JsonBounds bounds{.bytes_max = bytes_max, .what = kEvent, .check_skipped = false};
  return read_json_object(json, bounds, read_field, [&] { use(event); });
}

void take_figures(const Event& event, llm::Usage& usage) {
  const auto counted = [](const std::optional<int>& value) { return std::max(0, value.value_or(0)); };
  if (event.cached_tokens || event.cache_n) {
    usage.cached_prompt_tokens = event.cached_tokens ? *event.cached_tokens : counted(event.cache_n);
  }
  // `prompt_n` counts only what was not in the cache.
  if (event.prompt_tokens) {
    usage.prompt_tokens = *event.prompt_tokens;
  } else if (event.prompt_n) {
    const std::int64_t tokens = std::int64_t{counted(event.prompt_n)} + counted(event.cache_n);
    usage.prompt_tokens = static_cast<int>(std::min<std::int64_t>(tokens, kTokensMax));
  }
  if (event.completion_tokens || event.predicted_n) {
    usage.completion_tokens = event.completion_tokens ? *event.completion_tokens : counted(event.predicted_n);
  }
  if (event.prompt_ms) usage.prompt_ms = std::max(0.0, *event.prompt_ms);
  if (event.predicted_ms) usage.generation_ms = std::max(0.0, *event.predicted_ms);
}

void add_to(llm::Delta& delta, const Event& event) {
  delta.text.append(event.content);
  delta.thinking.append(event.thinking);
  for (const auto& call : event.tool_calls) delta.tool_calls.push_back(call);
}

std::optional<llm::StopReason> stop_reason(std::string_view name) {
  if (name == "stop" || name == "content_filter") return llm::StopReason::stop;
  if (name == "tool_calls") return llm::StopReason::tool_calls;
  if (name == "length") return llm::StopReason::length;
  return std::nullopt;
}

// Half of a surrogate pair, as an escape, becomes U+FFFD; bytes that are not UTF-8 do too.
std::string repaired(std::string_view json) {
  const auto unit_at = [](std::string_view text, std::size_t at) -> int {
    if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
    int unit = 0;
    for (std::size_t i = at + 2; i < at + 6; ++i) {
      const auto digit = static_cast<unsigned char>(text[i]);
      if (std::isxdigit(digit) == 0) return -1;
      unit = unit * 16 + (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return unit;
  };
  std::string valid;
  append_valid_utf8(valid, json);
  std::string out;
  out.reserve(valid.size());
  for (std::size_t at = 0; at < valid.size();) {
    if (valid[at] != '\\') {
      out += valid[at++];
      continue;
    }
    const int unit = unit_at(valid, at);
    const int next = unit_at(valid, at + 6);
    if (unit >= 0xD800 && unit <= 0xDBFF && next >= 0xDC00 && next <= 0xDFFF) {
      out.append(valid, at, 12);
      at += 12;
    } else if (unit >= 0xD800 && unit <= 0xDFFF) {
      out += "\\ufffd";
      at += 6;
    } else {
      const std::size_t length = unit >= 0 ? 6 : 2;
      out.append(valid, at, length);
      at += length;
    }
  }
  return out;
}

// Reads an event as it is, and if that fails once more with its text repaired.
template <class Use>
Result<void> read_event_repaired(std::string_view json, std::size_t bytes_max, Use use) {
  auto read = read_event(json, bytes_max, use);
  if (!read && (!is_valid_utf8(json) || contains(json, "\\ud"))) {
    // A byte may become three.
    read = read_event(repaired(json), bytes_max * 3, use);
  }
  if (!read) return std::unexpected(garbled(read.error().message, json));
  return {};
}

}  // namespace

StreamReader::StreamReader(const Limits& limits) : limits_(limits) {}

Result<void> StreamReader::feed(std::string_view bytes, llm::Delta& delta) {
  if (failed_) return std::unexpected(failure_);
  if (done_) return {};
  const auto fail_with = [&](Error error) -> Result<void> {
    failed_ = true;
    failure_ = std::move(error);
    return std::unexpected(failure_);
  };
  bytes_taken_ += bytes.size();
  if (bytes_taken_ > limits_.answer_bytes_max) return fail_with(garbled("the answer has no end"));

  while (!done_) {
    const std::size_t end = bytes.find('\n');
    const std::size_t length = std::min(end, bytes.size());
    if (rest_.size() + length > limits_.line_bytes_max) return fail_with(garbled("a line has no end", rest_));
    if (end == std::string_view::npos) {
      rest_.append(bytes);
      return {};
    }
    Result<void> taken;
    if (rest_.empty()) {
      taken = take_line(bytes.substr(0, length), delta);
    } else {
      rest_.append(bytes.substr(0, length));
      taken = take_line(rest_, delta);
      rest_.clear();
    }
    if (!taken) return fail_with(std::move(taken.error()));
    bytes.remove_prefix(end + 1);
  }
  return {};
}

Result<void> StreamReader::take_line(std::string_view line, llm::Delta& delta) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty() || line.starts_with(':')) return {};
  for (const std::string_view field : {"event:", "id:", "retry:"}) {
    if (line.starts_with(field)) return {};
  }
  // "error:" is what older workers put before an error; a bare object is an error body under a status of success.
  for (const std::string_view field : {"data:", "error:"}) {
    if (!line.starts_with(field)) continue;
    line.remove_prefix(field.size());
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (line == "[DONE]") {
      done_ = true;
      return {};
    }
    return take_event(line, delta);
  }
  if (line.starts_with('{')) return take_event(line, delta);
  return std::unexpected(garbled("not an event", line));
}

Result<void> StreamReader::take_event(std::string_view json, llm::Delta& delta) {
  std::optional<Error> failure;
  auto use = [&](const Event& event) {
    if (event.error) {
      failure = event.error;
    } else if (!event.known_shape) {
      failure = garbled("an event of unknown shape", json);
    } else if (finished_ && !(event.content.empty() && event.thinking.empty() && event.tool_calls.empty())) {
      failure = garbled("text after the end", json);
    } else {
      add_to(delta, event);
      take_figures(event, completion_.usage);
      if (!event.stop_sequence.empty()) completion_.stop_sequence.assign(event.stop_sequence);
      if (event.finish_reason.empty()) return;
      const auto reason = stop_reason(event.finish_reason);
      if (!reason) {
        failure = garbled("an unknown finish reason", event.finish_reason);
        return;
      }
      finished_ = true;
      completion_.reason = *reason;
    }
  };
  if (auto read = read_event_repaired(json, limits_.line_bytes_max, use); !read) return read;
  if (failure) return std::unexpected(std::move(*failure));
  return {};
}

Result<llm::Completion> StreamReader::finish() {
  if (!failed_ && !done_ && !rest_.empty()) {
    // The last line may lack its line feed. Text in it is of no use to anyone without what should have followed it.
    llm::Delta ignored;
    auto taken = take_line(rest_, ignored);
    rest_.clear();
    if (!taken) {
      failed_ = true;
      failure_ = std::move(taken.error());
    }
  }
  if (failed_) return std::unexpected(failure_);
  if (!finished_ || !done_) {
    return fail(Kind::backend_failed, "backend_failed",
                "The model's worker stopped in the middle of its answer; try again.",
                finished_ ? "the answer ended without [DONE]" : "the answer ended without a finish reason");
  }
  return completion_;
}

Result<Answer> read_answer(std::string_view body, const Limits& limits) {
  Answer answer;
  std::optional<Error> failure;
  auto use = [&](const Event& event) {
    const auto reason = stop_reason(event.finish_reason);
    if (event.error) {
      failure = event.error;
    } else if (!event.known_shape || !reason) {
      failure = garbled("an answer of unknown shape", body);
    } else {
      add_to(answer.delta, event);
      answer.completion.reason = *reason;
      answer.completion.stop_sequence.assign(event.stop_sequence);
      take_figures(event, answer.completion.usage);
    }
  };
  if (auto read = read_event_repaired(body, limits.answer_bytes_max, use); !read) {
    return std::unexpected(std::move(read.error()));
  }
  if (failure) return std::unexpected(std::move(*failure));
  return answer;
}

Result<int> read_count(std::string_view body) {
  std::optional<int> tokens;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "input_tokens") return value.read_integer(tokens, 0, kTokensMax);
    return {};
  };
  const auto read = read_json_object(body, {.what = kEvent}, read_field);
  if (!read || !tokens) return std::unexpected(garbled("a count of tokens that is none", body));
  return *tokens;
}

Result<void> read_figures(std::string_view json, const Limits& limits, llm::Completion& completion) {
  std::optional<Error> failure;
  auto use = [&](const Event& event) {
    if (event.error) {
      failure = event.error;
      return;
    }
    take_figures(event, completion.usage);
    if (const auto reason = stop_reason(event.finish_reason)) completion.reason = *reason;
  };
  if (auto read = read_event_repaired(json, limits.answer_bytes_max, use); !read) return read;
  if (failure) return std::unexpected(std::move(*failure));
  return {};
}

}  // namespace gbgreg::protocols::engine_wire

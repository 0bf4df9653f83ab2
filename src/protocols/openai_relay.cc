#include "protocols/openai_relay.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/utf8.h"
#include "protocols/engine_wire.h"
#include "protocols/json_writer.h"
#include "protocols/openai.h"

namespace gbgreg::protocols::openai {
namespace {

// Keys as they stand in the bytes. Inside a JSON string every quote has a backslash before it, so these can only be
// keys, and values are never mistaken for them.
constexpr std::string_view kCreated = "\"created\":";
constexpr std::string_view kIndex = "\"index\":";
constexpr std::string_view kLogprobs = "\"logprobs\":";
constexpr std::string_view kFinishReason = "\"finish_reason\":";
constexpr std::string_view kNoChoices = "\"choices\":[]";
constexpr std::string_view kError = "\"error\":";
constexpr std::string_view kUsage = ",\"usage\":{";
constexpr std::string_view kVerbose = "\"__verbose\":";
constexpr std::string_view kChatId = "\"id\":\"chatcmpl-";

Error garbled(std::string_view what, std::string_view seen) {
  constexpr std::size_t kBytesShown = 200;
  Error error{.kind = Kind::backend_failed,
              .code = "backend_failed",
              .message = "The model's worker gave an answer that cannot be understood; try again.",
              .detail = std::string(what) + ": "};
  append_valid_utf8(error.detail, seen.substr(0, kBytesShown));
  return error;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Behind the digits that begin at `at`.
std::size_t behind_digits(std::string_view text, std::size_t at) {
  while (at < text.size() && is_digit(text[at])) ++at;
  return at;
}

// The `,"usage":{…}` of an event; empty when it has none. There are only numbers in it, and objects of numbers.
std::string_view usage_of(std::string_view json) {
  const std::size_t begin = json.find(kUsage);
  if (begin == std::string_view::npos) return {};
  int depth = 1;
  std::size_t end = begin + kUsage.size();
  for (; end < json.size() && depth > 0; ++end) {
    if (json[end] == '{') ++depth;
    if (json[end] == '}') --depth;
  }
  return depth == 0 ? json.substr(begin, end - begin) : std::string_view{};
}

// Whether the event has an error that is none of null: {"error":{…}} as a whole, never a key inside a choice.
bool is_error(std::string_view json) {
  const std::size_t at = json.find(kError);
  if (at == std::string_view::npos) return false;
  return !json.substr(at + kError.size()).starts_with("null");
}

// "stop" of `"finish_reason":"stop"`; empty while it is null.
std::string_view finish_reason(std::string_view json) {
  const std::size_t at = json.find(kFinishReason);
  if (at == std::string_view::npos) return {};
  std::string_view value = json.substr(at + kFinishReason.size());
  if (!value.starts_with('"')) return {};
  value.remove_prefix(1);
  return value.substr(0, std::min(value.find('"'), value.size()));
}

// Takes the text as far as into its id and what a worker puts before that, which it does to completions' ids too: they
// begin with cmpl-.
void append_until_own_id(std::string_view& json, std::string& out) {
  const std::size_t id = json.find(kChatId);
  if (id == std::string_view::npos) return;
  constexpr std::string_view kChat = "chat";
  const std::size_t chat = id + kChatId.find(kChat);
  out.append(json.substr(0, chat));
  json.remove_prefix(chat + kChat.size());
}

}  // namespace

Result<void> StreamRelay::feed(std::string_view bytes, std::string& out) {
  if (!failure_) return failure_;
  bytes_taken_ += bytes.size();
  if (bytes_taken_ > options_.answer_bytes_max) {
    return failure_ = std::unexpected(garbled("the answer has no end", {}));
  }
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (rest_.size() + piece.size() > options_.line_bytes_max) {
      return failure_ = std::unexpected(garbled("a line has no end", rest_));
    }
    if (end == std::string_view::npos) {
      rest_.append(bytes);
      return {};
    }
    Result<void> taken;
    if (rest_.empty()) {
      taken = take_line(piece, out);
    } else {
      rest_.append(piece);
      taken = take_line(rest_, out);
      rest_.clear();
    }
    if (!taken) return failure_ = std::move(taken);
    bytes.remove_prefix(end + 1);
  }
  return {};
}

Result<void> StreamRelay::take_line(std::string_view line, std::string& out) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty() || line.starts_with(':')) return {};
  if (done_) return std::unexpected(garbled("something after the end", line));
  for (const std::string_view field : {"event:", "id:", "retry:"}) {
    if (line.starts_with(field)) return {};
  }
  for (const std::string_view field : {"data:", "error:"}) {
    if (!line.starts_with(field)) continue;
    line.remove_prefix(field.size());
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (line != "[DONE]") return take_event(line, out);
    if (!finished_) return std::unexpected(garbled("an end without a finish reason", line));
    done_ = true;
    out.append("data: [DONE]\n\n");
    return {};
  }
  // An error body under a status of success.
  if (line.starts_with('{') && is_error(line)) return take_event(line, out);
  return std::unexpected(garbled("not an event", line));
}

Result<void> StreamRelay::take_event(std::string_view json, std::string& out) {
  if (!json.starts_with('{') || !json.ends_with('}')) return std::unexpected(garbled("not an event", json));
  if (is_error(json)) {
    auto read = engine_wire::read_figures(json, {}, completion_);
    if (!read) return read;
  }
  if (json.find(kCreated) == std::string_view::npos) return std::unexpected(garbled("an event of unknown shape", json));
  const bool has_figures = json.find(kNoChoices) != std::string_view::npos;
  if (has_figures) {
    const llm::StopReason reason = completion_.reason;
    auto read = engine_wire::read_figures(json, {}, completion_);
    completion_.reason = reason;
    if (!read) return read;
    if (options_.include_usage) append_chunk(json, out);
    return {};
  }
  if (!options_.logprobs || options_.is_chat) return take_chunk(json, out);
  std::string older;
  if (auto rewritten = logprobs_.rewrite(json, older); !rewritten) {
    return std::unexpected(garbled("log probabilities of unknown shape", json));
  }
  return take_chunk(older, out);
}

// An event with a choice in it.
Result<void> StreamRelay::take_chunk(std::string_view json, std::string& out) {
  if (const std::string_view reason = finish_reason(json); !reason.empty()) {
    if (finished_) return std::unexpected(garbled("a second finish reason", json));
    finished_ = true;
    completion_.reason = reason == "length"       ? llm::StopReason::length
                         : reason == "tool_calls" ? llm::StopReason::tool_calls
                                                  : llm::StopReason::stop;
    if (!options_.is_chat) return take_last_text(json, out);
  }
  append_chunk(json, out);
  return {};
}

// Of the older completions the last event has the figures in it, asked for or not; clients look for them behind it, in
// an event without choices, as the chat's are.
Result<void> StreamRelay::take_last_text(std::string_view json, std::string& out) {
  const std::string_view usage = usage_of(json);
  if (usage.empty()) {
    append_chunk(json, out);
    return {};
  }
  if (auto read = engine_wire::read_figures(json, {}, completion_); !read) return read;
  const auto behind_usage = static_cast<std::size_t>(usage.data() - json.data()) + usage.size();
  std::string event(json.substr(0, behind_usage - usage.size()));
  append_chunk(event.append(json.substr(behind_usage)), out);
  if (!options_.include_usage) return {};
  event.assign("{").append(kNoChoices).append(",").append(json.substr(json.find(kCreated)));
  append_chunk(event, out);
  return {};
}

// The event with one and the same time, and with the keys that clients look for though they are null.
void StreamRelay::append_chunk(std::string_view json, std::string& out) const {
  out.append("data: ");
  const std::size_t index = json.find(kIndex);
  const bool lacks_logprobs = index != std::string_view::npos && json.find(kLogprobs) == std::string_view::npos;
  if (lacks_logprobs) {
    const std::size_t behind = behind_digits(json, index + kIndex.size());
    out.append(json.substr(0, behind)).append(",\"logprobs\":null");
    json.remove_prefix(behind);
  }
  const std::size_t created = json.find(kCreated);
  if (created != std::string_view::npos) {
    const std::size_t digits = created + kCreated.size();
    out.append(json.substr(0, digits));
    std::array<char, 24> text{};
    const char* end = std::to_chars(text.data(), text.data() + text.size(), options_.created).ptr;
    out.append(text.data(), static_cast<std::size_t>(end - text.data()));
    json.remove_prefix(behind_digits(json, digits));
  }
  if (!options_.is_chat) append_until_own_id(json, out);
  out.append(json).append("\n\n");
}

Result<llm::Completion> StreamRelay::finish() {
  if (!failure_) return std::unexpected(failure_.error());
  if (finished_ && done_) return completion_;
  return fail(Kind::backend_failed, "backend_failed",
              "The model's worker stopped in the middle of its answer; try again.",
              finished_ ? "the answer ended without [DONE]" : "the answer ended without a finish reason");
}

Result<llm::Completion> relay_whole(std::string_view body, const RelayOptions& options, std::string& out) {
  auto answer = engine_wire::read_answer(body, {.answer_bytes_max = options.answer_bytes_max});
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (body.find(kVerbose) != std::string_view::npos) return std::unexpected(garbled("more than was asked for", body));

  std::string older;
  if (!options.is_chat && options.logprobs) {
    if (!OlderLogprobs(*options.logprobs).rewrite(body, older)) {
      return std::unexpected(garbled("log probabilities of unknown shape", body));
    }
    body = older;
  }
  out.reserve(out.size() + body.size() + 64);
  constexpr std::string_view kMessage = "\"message\":{";
  // In the order in which a worker writes them: index, then message.
  const std::size_t index = body.find(kIndex);
  if (index != std::string_view::npos && body.find(kLogprobs) == std::string_view::npos) {
    const std::size_t behind = behind_digits(body, index + kIndex.size());
    out.append(body.substr(0, behind)).append(",\"logprobs\":null");
    body.remove_prefix(behind);
  }
  const std::size_t message = options.is_chat ? body.find(kMessage) : std::string_view::npos;
  if (message != std::string_view::npos && body.find("\"refusal\":") == std::string_view::npos) {
    const std::size_t behind = message + kMessage.size();
    out.append(body.substr(0, behind))
        .append(body.substr(behind).starts_with('}') ? "\"refusal\":null" : "\"refusal\":null,");
    body.remove_prefix(behind);
  }
  if (!options.is_chat) append_until_own_id(body, out);
  out.append(body);
  return answer->completion;
}

void write_broken(std::string& out, const Error& error) {
  out.append("data: ").append(write_error(error)).append("\n\n");
}

}  // namespace gbgreg::protocols::openai

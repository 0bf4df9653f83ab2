#include "protocols/openai_relay.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "core/utf8.h"
#include "protocols/engine_wire.h"
#include "protocols/json_writer.h"
#include "protocols/openai.h"

namespace gbgreg::protocols::openai {
namespace {

constexpr std::string_view kCreated = "\"created\":";
constexpr std::string_view kIndex = "\"index\":";
constexpr std::string_view kNoChoices = "\"choices\":[]";
constexpr std::string_view kUsage = ",\"usage\":{";
constexpr std::string_view kChatId = "\"id\":\"chatcmpl-";

// Calls use(at) for each quote, in their order. There are so many that a search for each would cost more than eight
// bytes at a time.
template <class Use>
void for_each_quote(std::string_view json, Use use) {
  constexpr std::uint64_t kEachByte = 0x0101010101010101;
  constexpr std::uint64_t kLowBits = 0x7f * kEachByte;
  std::size_t at = 0;
  for (; std::endian::native == std::endian::little && at + 8 <= json.size(); at += 8) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, json.data() + at, 8);
    const std::uint64_t others = bytes ^ (kEachByte * '"');  // A quote is 0 now, and the only byte without any bit.
    std::uint64_t quotes = ~(((others & kLowBits) + kLowBits) | others | kLowBits);
    for (; quotes != 0; quotes &= quotes - 1) use(at + static_cast<std::size_t>(std::countr_zero(quotes)) / 8);
  }
  for (; at < json.size(); ++at) {
    if (json[at] == '"') use(at);
  }
}

}  // namespace

// Where what we look for begins in the bytes of an event or an answer, each the first of its kind; npos when it is not
// there. Inside a JSON string every quote has a backslash before it, so these can only be keys, and values are never
// mistaken for them. One pass from quote to quote, since each token of each stream comes by here.
struct Places {
  static constexpr std::size_t npos = std::string_view::npos;
  std::size_t created = npos, index = npos, logprobs = npos, finish_reason = npos, no_choices = npos, error = npos,
              message = npos, refusal = npos, verbose = npos;

  explicit Places(std::string_view json) {
    for_each_quote(json, [&](std::size_t at) { look(json.substr(at), at); });
  }

 private:
  void look(std::string_view here, std::size_t at) {
    if (here.size() < 8) return;
    switch (here[1]) {
      case 'c':
        note(here, at, kCreated, created);
        return note(here, at, kNoChoices, no_choices);
      case 'e':
        return note(here, at, "\"error\":", error);
      case 'f':
        return note(here, at, "\"finish_reason\":", finish_reason);
      case 'i':
        return note(here, at, kIndex, index);
      case 'l':
        return note(here, at, "\"logprobs\":", logprobs);
      case 'm':
        return note(here, at, "\"message\":{", message);
      case 'r':
        return note(here, at, "\"refusal\":", refusal);
      case '_':
        return note(here, at, "\"__verbose\":", verbose);
      default:
        return;
    }
  }
  static void note(std::string_view here, std::size_t at, std::string_view key, std::size_t& place) {
    if (place == npos && here.starts_with(key)) place = at;
  }
};

namespace {

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
bool is_error(std::string_view json, const Places& places) {
  constexpr std::size_t kKeySize = std::string_view("\"error\":").size();
  return places.error != Places::npos && !json.substr(places.error + kKeySize).starts_with("null");
}

// "stop" of `"finish_reason":"stop"`; empty while it is null.
std::string_view finish_reason(std::string_view json, const Places& places) {
  if (places.finish_reason == Places::npos) return {};
  constexpr std::size_t kKeySize = std::string_view("\"finish_reason\":").size();
  std::string_view value = json.substr(places.finish_reason + kKeySize);
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

// The event with one and the same time, and with the keys that clients look for though they are null.
void append_chunk(std::string_view json, const Places& places, const RelayOptions& options, std::string& out) {
  out.append("data: ");
  std::size_t done = 0;
  const auto append_until = [&](std::size_t end) {
    out.append(json.substr(done, end - done));
    done = end;
  };
  const auto append_null_logprobs = [&] {
    if (places.index == Places::npos || places.logprobs != Places::npos || places.index < done) return;
    append_until(behind_digits(json, places.index + kIndex.size()));
    out.append(",\"logprobs\":null");
  };
  if (places.index < places.created) append_null_logprobs();
  if (places.created != Places::npos) {
    append_until(places.created + kCreated.size());
    std::array<char, 24> text{};
    const char* end = std::to_chars(text.data(), text.data() + text.size(), options.created).ptr;
    out.append(text.data(), static_cast<std::size_t>(end - text.data()));
    done = behind_digits(json, done);
  }
  append_null_logprobs();
  std::string_view rest = json.substr(done);
  if (!options.is_chat) append_until_own_id(rest, out);
  out.append(rest).append("\n\n");
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
  if (line.starts_with('{') && is_error(line, Places(line))) return take_event(line, out);
  return std::unexpected(garbled("not an event", line));
}

Result<void> StreamRelay::take_event(std::string_view json, std::string& out) {
  if (!json.starts_with('{') || !json.ends_with('}')) return std::unexpected(garbled("not an event", json));
  const Places places(json);
  if (is_error(json, places)) {
    auto read = engine_wire::read_figures(json, {}, completion_);
    if (!read) return read;
  }
  if (places.created == Places::npos) return std::unexpected(garbled("an event of unknown shape", json));
  if (places.no_choices != Places::npos) {
    const llm::StopReason reason = completion_.reason;
    auto read = engine_wire::read_figures(json, {}, completion_);
    completion_.reason = reason;
    if (!read) return read;
    if (options_.include_usage) append_chunk(json, places, options_, out);
    return {};
  }
  if (!options_.logprobs || options_.is_chat) return take_chunk(json, places, out);
  std::string older;
  if (auto rewritten = logprobs_.rewrite(json, older); !rewritten) {
    return std::unexpected(garbled("log probabilities of unknown shape", json));
  }
  return take_chunk(older, Places(older), out);
}

// An event with a choice in it.
Result<void> StreamRelay::take_chunk(std::string_view json, const Places& places, std::string& out) {
  if (const std::string_view reason = finish_reason(json, places); !reason.empty()) {
    if (finished_) return std::unexpected(garbled("a second finish reason", json));
    finished_ = true;
    completion_.reason = reason == "length"       ? llm::StopReason::length
                         : reason == "tool_calls" ? llm::StopReason::tool_calls
                                                  : llm::StopReason::stop;
    if (!options_.is_chat) return take_last_text(json, out);
  }
  append_chunk(json, places, options_, out);
  return {};
}

// Of the older completions the last event has the figures in it, asked for or not; clients look for them behind it, in
// an event without choices, as the chat's are.
Result<void> StreamRelay::take_last_text(std::string_view json, std::string& out) {
  const std::string_view usage = usage_of(json);
  const auto append = [&](std::string_view event) { append_chunk(event, Places(event), options_, out); };
  if (usage.empty()) {
    append(json);
    return {};
  }
  if (auto read = engine_wire::read_figures(json, {}, completion_); !read) return read;
  const auto behind_usage = static_cast<std::size_t>(usage.data() - json.data()) + usage.size();
  std::string event(json.substr(0, behind_usage - usage.size()));
  append(event.append(json.substr(behind_usage)));
  if (!options_.include_usage) return {};
  event.assign("{").append(kNoChoices).append(",").append(json.substr(json.find(kCreated)));
  append(event);
  return {};
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
  Places places(body);
  if (places.verbose != Places::npos) return std::unexpected(garbled("more than was asked for", body));

  std::string older;
  if (!options.is_chat && options.logprobs) {
    if (!OlderLogprobs(*options.logprobs).rewrite(body, older)) {
      return std::unexpected(garbled("log probabilities of unknown shape", body));
    }
    body = older;
    places = Places(body);
  }
  out.reserve(out.size() + body.size() + 64);
  std::size_t done = 0;
  // In the order in which a worker writes them: index, then message.
  if (places.index != Places::npos && places.logprobs == Places::npos) {
    done = behind_digits(body, places.index + kIndex.size());
    out.append(body.substr(0, done)).append(",\"logprobs\":null");
  }
  const bool lacks_refusal = options.is_chat && places.message != Places::npos && places.refusal == Places::npos;
  if (lacks_refusal && places.message >= done) {
    const std::size_t behind = places.message + std::string_view("\"message\":{").size();
    out.append(body.substr(done, behind - done));
    out.append(body.substr(behind).starts_with('}') ? "\"refusal\":null" : "\"refusal\":null,");
    done = behind;
  }
  std::string_view rest = body.substr(done);
  if (!options.is_chat) append_until_own_id(rest, out);
  out.append(rest);
  return answer->completion;
}

void write_broken(std::string& out, const Error& error) {
  out.append("data: ").append(write_error(error)).append("\n\n");
}

}  // namespace gbgreg::protocols::openai

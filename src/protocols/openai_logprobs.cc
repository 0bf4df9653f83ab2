#include "protocols/openai_logprobs.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "protocols/json_reader.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::openai {
namespace {

constexpr std::string_view kKey = "\"logprobs\":{";
constexpr double kLogprobMax = 1e300;

struct Candidate {
  std::string text;
  std::optional<double> logprob = {};
};
struct Token {
  Candidate taken;
  std::size_t characters = 0;
  std::vector<Candidate> top = {};
};

// Behind the object that begins at `begin`, or nothing when it has no end.
std::optional<std::size_t> behind_object(std::string_view json, std::size_t begin) {
  int depth = 0;
  bool in_text = false;
  for (std::size_t at = begin; at < json.size(); ++at) {
    const char c = json[at];
    if (in_text) {
      if (c == '\\') ++at;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return std::nullopt;
}

Result<void> read_candidate(std::string_view name, JsonValue& field, Candidate& candidate) {
  if (name == "token") return field.read_text(candidate.text);
  if (name == "logprob") return field.read_number(candidate.logprob, -kLogprobMax, kLogprobMax);
  return {};
}

// A token's text lacks a character that is not whole in it; its bytes are all there.
Result<void> count_characters(JsonValue& bytes, std::size_t& characters) {
  if (bytes.type() == JsonType::null) return bytes.skip();
  return bytes.each_element([&](JsonValue& element) -> Result<void> {
    std::optional<int> byte;
    if (auto read = element.read_integer(byte, 0, 255); !read) return read;
    if (byte && (*byte & 0xC0) != 0x80) ++characters;
    return {};
  });
}

Result<void> read_token(JsonValue& value, Token& token) {
  auto read_top = [&](JsonValue& element) -> Result<void> {
    Candidate& candidate = token.top.emplace_back();
    return element.each_field(
        [&](std::string_view name, JsonValue& field) { return read_candidate(name, field, candidate); });
  };
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "bytes") return count_characters(field, token.characters);
    if (name == "top_logprobs") return field.each_element(read_top);
    return read_candidate(name, field, token.taken);
  });
}

void write_top(JsonWriter& json, const Token& token, int top) {
  std::vector<const Candidate*> written;
  const auto write = [&](const Candidate& candidate) {
    // Two tokens may have one text, and the likelier one comes first.
    if (std::ranges::any_of(written, [&](const Candidate* other) { return other->text == candidate.text; })) return;
    written.push_back(&candidate);
    json.text_key(candidate.text);
    json.number_or_null(candidate.logprob);
  };
  json.open_object();
  for (std::size_t i = 0; i < token.top.size() && i < static_cast<std::size_t>(top); ++i) write(token.top[i]);
  write(token.taken);
  json.close_object();
}

}  // namespace

Result<void> OlderLogprobs::rewrite(std::string_view json, std::string& out) {
  const std::size_t key = json.find(kKey);
  if (key == std::string_view::npos) {
    out.append(json);
    return {};
  }
  const std::size_t begin = key + kKey.size() - 1;
  const auto end = behind_object(json, begin);
  if (!end) return fail(Kind::malformed, "invalid_json", "The log probabilities have no end.");
  const std::string_view object = json.substr(begin, *end - begin);

  std::vector<Token> tokens;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name != "content" || value.type() == JsonType::null) return {};
    return value.each_element([&](JsonValue& element) { return read_token(element, tokens.emplace_back()); });
  };
  const JsonBounds bounds{.bytes_max = object.size(), .what = "The log probabilities", .check_skipped = false};
  if (auto read = read_json_object(object, bounds, read_field); !read) return read;

  out.append(json.substr(0, begin));
  JsonWriter writer(out);
  const auto list = [&](std::string_view name, auto write) {
    writer.key(name).open_array();
    for (const Token& token : tokens) write(token);
    writer.close_array();
  };
  writer.open_object();
  list("tokens", [&](const Token& token) { writer.text(token.taken.text); });
  list("token_logprobs", [&](const Token& token) { writer.number_or_null(token.taken.logprob); });
  list("top_logprobs", [&](const Token& token) { write_top(writer, token, top_); });
  list("text_offset", [&](const Token& token) {
    writer.number(static_cast<std::int64_t>(characters_));
    characters_ += token.characters;
  });
  writer.close_object();
  out.append(json.substr(*end));
  return {};
}

}  // namespace gbgreg::protocols::openai

#include "protocols/engine_embeddings.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "protocols/base64.h"
#include "protocols/engine_error.h"
#include "protocols/json_reader.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::engine_wire {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();

// Of vectors that are not yet known to be all there.
struct Answer {
  std::vector<llm::Vector> vectors;  // Those that have not come are empty.
  std::optional<int> prompt_tokens = {};
};

std::optional<llm::Vector> read_floats(std::string_view base64) {
  if (!is_base64(base64)) return std::nullopt;
  const std::string bytes = from_base64(base64);
  if (bytes.size() % sizeof(float) != 0) return std::nullopt;
  llm::Vector numbers;
  numbers.reserve(bytes.size() / sizeof(float));
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
    std::uint32_t bits = 0;
    for (const std::size_t i : {3U, 2U, 1U, 0U}) bits = bits << 8U | static_cast<unsigned char>(bytes[at + i]);
    numbers.push_back(std::bit_cast<float>(bits));
  }
  if (!std::ranges::all_of(numbers, [](float number) { return std::isfinite(number); })) return std::nullopt;
  return numbers;
}

Result<void> read_vector(JsonValue& value, Answer& answer) {
  std::optional<int> index;
  std::string_view base64;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "index") return field.read_integer(index, 0, kIntMax);
    if (name == "embedding") return field.read_text(base64);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  const bool is_wanted = index && static_cast<std::size_t>(*index) < answer.vectors.size() &&
                         answer.vectors[static_cast<std::size_t>(*index)].empty();
  if (!is_wanted) return value.must_be("the vector of an input that has none yet");
  auto numbers = read_floats(base64);
  if (!numbers) return value.must_be("a vector of finite numbers");
  answer.vectors[static_cast<std::size_t>(*index)] = std::move(*numbers);
  return {};
}

Result<void> read_usage(JsonValue& value, Answer& answer) {
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "prompt_tokens") return field.read_integer(answer.prompt_tokens, 0, kIntMax);
    return {};
  });
}

}  // namespace

std::string write_embed_request(std::span<const llm::EmbedInput> inputs) {
  std::string body = R"({"encoding_format":"base64","input":)";
  JsonWriter json(body);
  json.open_array();
  for (const auto& input : inputs) {
    if (const auto* text = std::get_if<std::string>(&input)) {
      json.text(*text);
      continue;
    }
    json.open_array();
    for (const std::int32_t token : std::get<llm::TokenIds>(input)) json.number(token);
    json.close_array();
  }
  json.close_array();
  body += '}';
  return body;
}

Result<llm::EmbedBatch> read_embeddings(std::string_view body, std::size_t count) {
  Answer answer{.vectors = std::vector<llm::Vector>(count)};
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "data") return value.each_element([&](JsonValue& element) { return read_vector(element, answer); });
    if (name == "usage") return read_usage(value, answer);
    return {};
  };
  const JsonBounds bounds{.bytes_max = body.size(), .what = kEvent, .check_skipped = false};
  const auto read = read_json_object(body, bounds, read_field);
  if (!read) return std::unexpected(garbled(read.error().message, body));
  if (!answer.prompt_tokens) return std::unexpected(garbled("vectors without a count of tokens", body));
  const auto is_like_the_first = [&](const llm::Vector& vector) {
    return !vector.empty() && vector.size() == answer.vectors.front().size();
  };
  if (!std::ranges::all_of(answer.vectors, is_like_the_first)) {
    return std::unexpected(garbled("vectors that are missing, or of several lengths", body));
  }
  return llm::EmbedBatch{.vectors = std::move(answer.vectors), .prompt_tokens = *answer.prompt_tokens};
}

std::string write_tokenize_request(std::string_view text) {
  std::string body = R"({"add_special":true,"content":)";
  append_json_text(body, text);
  body += '}';
  return body;
}

Result<llm::TokenIds> read_tokens(std::string_view body) {
  std::optional<llm::TokenIds> tokens;
  auto read_token = [&](JsonValue& element) -> Result<void> {
    std::optional<int> token;
    if (element.type() != JsonType::number) return element.must_be("a token");
    if (auto read = element.read_integer(token, 0, kIntMax); !read) return read;
    tokens->push_back(token.value_or(0));
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name != "tokens") return {};
    tokens.emplace();
    return value.each_element(read_token);
  };
  const JsonBounds bounds{.bytes_max = body.size(), .what = kEvent, .check_skipped = false};
  const auto read = read_json_object(body, bounds, read_field);
  if (!read) return std::unexpected(garbled(read.error().message, body));
  if (!tokens) return std::unexpected(garbled("tokens that are none", body));
  return std::move(*tokens);
}

}  // namespace gbgreg::protocols::engine_wire

#include "protocols/embed_fields.h"

#include <limits>
#include <string_view>

namespace gbgreg::protocols {
namespace {

constexpr int kDimensionsMax = 1'000'000;

std::unexpected<Error> too_large(const char* code, const JsonValue& value, std::size_t bytes_max) {
  return fail(Kind::too_large, code,
              "\"" + value.path() + "\" is larger than the limit of " + std::to_string(bytes_max) +
                  " bytes: cut it into pieces, or ask for fewer at once.");
}

}  // namespace

Result<void> EmbedInputs::make_room() const {
  if (inputs_.size() < limits_.inputs_max) return {};
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = "\"input\" must hold at most " + std::to_string(limits_.inputs_max) +
                                          " inputs: ask for the others next.",
                               .details_json = R"({"field":"input"})"});
}

Result<void> EmbedInputs::add_text(JsonValue& value) {
  if (auto room = make_room(); !room) return room;
  std::string_view text;
  if (value.type() != JsonType::text) return value.must_be("a string");
  if (auto read = value.read_text(text); !read) return read;
  if (text.size() > limits_.input_bytes_max) return too_large("input_too_large", value, limits_.input_bytes_max);
  text_bytes_ += text.size();
  if (text_bytes_ > limits_.text_bytes_max) return too_large("text_too_large", value, limits_.text_bytes_max);
  inputs_.emplace_back(std::string(text));
  return {};
}

Result<void> EmbedInputs::begin_tokens() {
  if (auto room = make_room(); !room) return room;
  inputs_.emplace_back(llm::TokenIds{});
  return {};
}

Result<void> EmbedInputs::add_token(JsonValue& value) {
  if (++tokens_ > limits_.input_tokens_max) {
    return value.must_be("one of at most " + std::to_string(limits_.input_tokens_max) + " tokens in all");
  }
  std::optional<int> token;
  if (value.type() != JsonType::number) return value.must_be("a token, as a whole number");
  if (auto read = value.read_integer(token, 0, std::numeric_limits<std::int32_t>::max()); !read) return read;
  std::get<llm::TokenIds>(inputs_.back()).push_back(token.value_or(0));
  return {};
}

Result<void> read_dimensions(JsonValue& value, std::optional<int>& dimensions) {
  return value.read_integer(dimensions, 1, kDimensionsMax);
}

}  // namespace gbgreg::protocols

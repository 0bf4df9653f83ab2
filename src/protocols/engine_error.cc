#include "protocols/engine_error.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "core/utf8.h"
#include "protocols/engine_wire.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::engine_wire {
namespace {

constexpr int kTokensMax = std::numeric_limits<int>::max();

bool is_too_long(const EngineError& error) {
  if (error.type == "exceed_context_size_error") return true;
  return (contains(error.message, "exceed") && contains(error.message, "context")) ||
         contains(error.message, "too long") || contains(error.message, "too large to process");
}

Error prompt_too_long(const EngineError& error) {
  Error out{.kind = Kind::malformed, .code = "prompt_too_long", .message = "The prompt "};
  if (error.prompt_tokens) out.message += "has " + std::to_string(*error.prompt_tokens) + " tokens and ";
  if (error.context_tokens) {
    out.message += error.prompt_tokens ? "the model's context holds " : "is longer than the model's context of ";
    out.message += std::to_string(*error.context_tokens) + (error.prompt_tokens ? "" : " tokens");
  } else {
    out.message += error.prompt_tokens ? "the model's context holds fewer" : "is longer than the model's context";
  }
  out.message += ": shorten it.";
  if (error.context_tokens) {
    JsonWriter json(out.details_json);
    json.open_object();
    json.key("prompt_tokens").number_or_null(error.prompt_tokens);
    json.key("context_tokens").number(*error.context_tokens);
    json.close_object();
  }
  return out;
}

}  // namespace

bool contains(std::string_view text, std::string_view part) {
  const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return !std::ranges::search(text, part, same).empty();
}

Result<void> read_engine_error(JsonValue& value, EngineError& error) {
  if (value.type() == JsonType::text) return value.read_text(error.message);
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "message" && field.type() == JsonType::text) return field.read_text(error.message);
    if (name == "type" && field.type() == JsonType::text) return field.read_text(error.type);
    if (name == "code" && field.type() == JsonType::number) return field.read_integer(error.code, 0, kTokensMax);
    if (name == "n_prompt_tokens") return field.read_integer(error.prompt_tokens, 0, kTokensMax);
    if (name == "n_ctx") return field.read_integer(error.context_tokens, 0, kTokensMax);
    return {};
  });
}

Error garbled(std::string what, std::string_view seen) {
  constexpr std::size_t kBytesShown = 200;
  if (!seen.empty()) {
    what += ": ";
    append_valid_utf8(what, seen.substr(0, kBytesShown));
  }
  return {.kind = Kind::backend_failed,
          .code = "backend_failed",
          .message = "The model's worker gave an answer that cannot be understood; try again.",
          .detail = std::move(what)};
}

Error understood(int status, const EngineError& error) {
  Error out;
  if (is_too_long(error)) {
    out = prompt_too_long(error);
  } else if (contains(error.message, "content cannot be empty")) {
    out = {.kind = Kind::malformed,
           .code = "input_empty",
           .message = "An input holds nothing that the model could read: leave it out."};
  } else if (contains(error.message, "contains invalid tokens")) {
    out = {.kind = Kind::malformed,
           .code = "unknown_tokens",
           .message = "An input holds tokens that this model does not know: send the text instead."};
  } else if (contains(error.message, "image input is not supported")) {
    out = {.kind = Kind::malformed,
           .code = "model_cannot_see",
           .message =
               "This model does not take images: leave "
               "the model out, or name one that sees."};
  } else if (contains(error.message, "failed to load image")) {
    out = {.kind = Kind::refused,
           .code = "image_not_understood",
           .message =
               "An image cannot be decoded: send it again "
               "as PNG or JPEG."};
  } else if (contains(error.message, "json schema") || contains(error.message, "grammar") ||
             contains(error.message, "initialize samplers")) {
    out = {.kind = Kind::malformed,
           .code = "format_not_usable",
           .message =
               "The model cannot be held to this \"format\": "
               "simplify the schema or leave it out."};
  } else if (status == 503) {
    out = {.kind = Kind::unavailable,
           .code = "model_loading",
           .message =
               "The model is being loaded; try again in a "
               "moment.",
           .retry_after_seconds = 1};
  } else if (status == 400 || status == 413 || status == 422) {
    out = {.kind = Kind::malformed,
           .code = "refused_by_model",
           .message =
               "The model's worker refused the request: check "
               "its messages, options and format."};
  } else {
    out = {.kind = Kind::backend_failed, .code = "backend_failed", .message = "The model's worker failed; try again."};
  }
  out.detail = "worker answered " + std::to_string(status);
  if (!error.type.empty()) out.detail += " " + error.type;
  if (!error.message.empty()) out.detail += ": " + error.message.substr(0, 500);
  return out;
}

Error read_error(int status, std::string_view body, const Limits& limits) {
  EngineError error;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "error" && value.type() != JsonType::null) return read_engine_error(value, error);
    return {};
  };
  const std::string_view looked_at = body.substr(0, limits.error_bytes_max);
  std::string valid;
  append_valid_utf8(valid, looked_at);
  const JsonBounds bounds{.bytes_max = valid.size(), .what = kEvent};
  // A body that is no JSON says nothing more than its status does, but is worth a look in the log.
  if (!read_json_object(valid, bounds, read_field) && error.message.empty()) error.message = valid.substr(0, 200);
  return understood(status, error);
}

}  // namespace gbgreg::protocols::engine_wire

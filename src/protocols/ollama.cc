#include "protocols/ollama.h"

#include "protocols/ask_body.h"
#include "protocols/json_reader.h"

namespace gbgreg::protocols::ollama {
namespace {

Asked take(AskBody ask, bool stream_by_default) {
  return {.request = std::move(ask.request),
          .model_named = ask.model_named,
          .stream = ask.stream.value_or(stream_by_default),
          .keep_alive = ask.keep_alive,
          .session_id = std::move(ask.session_id),
          .upload_ids = std::move(ask.upload_ids)};
}

}  // namespace

Result<Asked> parse_generate(std::string_view body, const Limits& limits) {
  auto ask = parse_ask(body, limits, AskForm::prompt);
  if (!ask) return std::unexpected(std::move(ask.error()));
  const bool stream_by_default = ask->model_named;
  Asked asked = take(std::move(*ask), stream_by_default);
  const auto& messages = asked.request.messages;
  asked.load_only = messages.back().text.empty() && messages.back().images.empty() && asked.upload_ids.empty();
  // Without a name nothing is asked at all.
  if (asked.load_only && !asked.model_named) {
    return fail(Kind::malformed, "prompt_missing", "Put what you ask into \"prompt\".");
  }
  return asked;
}

Result<Asked> parse_chat(std::string_view body, const Limits& limits) {
  auto ask = parse_ask(body, limits, AskForm::messages);
  if (!ask) return std::unexpected(std::move(ask.error()));
  Asked asked = take(std::move(*ask), true);
  asked.load_only = asked.request.messages.empty() && asked.upload_ids.empty();
  if (asked.load_only && !asked.model_named) {
    return fail(Kind::malformed, "messages_missing", "Put the conversation into \"messages\".");
  }
  return asked;
}

Result<std::string> parse_model(std::string_view body, const Limits& limits) {
  std::string model;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "model" || (name == "name" && model.empty())) return value.read_text(model, limits.model_bytes_max);
    return {};
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));
  if (model.empty()) return fail(Kind::malformed, "invalid_field", "\"model\" must name a model.");
  return model;
}

}  // namespace gbgreg::protocols::ollama

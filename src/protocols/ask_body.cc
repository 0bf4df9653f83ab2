#include "protocols/ask_body.h"

#include <algorithm>

#include "protocols/json_reader.h"
#include "protocols/keep_alive.h"
#include "protocols/request_fields.h"
#include "protocols/tools.h"

namespace gbgreg::protocols {
namespace {

std::unexpected<Error> field_not_supported(std::string_view name, std::string_view instead) {
  return fail(Kind::refused, "field_not_supported",
              "\"" + std::string(name) + "\" is not supported: " + std::string(instead) + ".");
}

// Fields of Ollama's that would change the answer and that nothing here can honour.
Result<void> read_unsupported(std::string_view name, JsonValue& value) {
  if (name == "raw") {
    std::optional<bool> raw;
    if (auto read = value.read_boolean(raw); !read) return read;
    if (raw.value_or(false)) {
      return field_not_supported(name, "the model's own chat template is always applied; send the plain prompt");
    }
    return {};
  }
  std::string_view text;
  if (auto read = value.read_text(text); !read) return read;
  if (text.empty()) return {};
  if (name == "suffix") return field_not_supported(name, "ask for the missing part in the prompt");
  return field_not_supported(name, "the model's own chat template is always applied");
}

// true, false, or how hard: "low", "medium", "high".
Result<void> read_think(JsonValue& value, std::optional<bool>& think) {
  if (value.type() != JsonType::text) return value.read_boolean(think);
  std::string_view level;
  if (auto read = value.read_text(level); !read) return read;
  if (level != "low" && level != "medium" && level != "high") {
    return value.must_be("true, false, \"low\", \"medium\" or \"high\"");
  }
  think = true;
  return {};
}

Result<void> read_upload_ids(JsonValue& value, const Limits& limits, std::vector<std::string>& ids) {
  ids.clear();
  if (value.type() == JsonType::null) return value.skip();
  std::size_t named = 0;
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (named++ == limits.uploads_max) {
      return value.must_be("at most " + std::to_string(limits.uploads_max) + " ids of uploads");
    }
    std::string_view text;
    if (element.type() != JsonType::text) return element.must_be("the id of an upload");
    if (auto read = element.read_text(text); !read) return read;
    if (!is_uuid(text)) return element.must_be("the id of an upload, as POST /api/upload/file answers it");
    std::string id(text);
    std::ranges::transform(id, id.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(std::move(id));
    return {};
  });
}

}  // namespace

Result<AskBody> parse_ask(std::string_view body, const Limits& limits, AskForm form) {
  AskBody ask;
  llm::Request& request = ask.request;
  llm::Message prompt;
  std::string system;
  std::string model;
  bool has_messages = false;

  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "prompt") return value.read_text(prompt.text);
    if (name == "model") return value.read_text(model, limits.model_bytes_max);
    if (name == "system") return value.read_text(system);
    if (name == "images") return read_images(value, limits, prompt.images);
    if (name == "stream") return value.read_boolean(ask.stream);
    if (name == "format") return read_format(value, limits, request);
    if (name == "options") return read_options(value, limits, request);
    if (name == "keep_alive") return read_keep_alive(value, ask.keep_alive);
    if (name == "priority") return read_priority(value, request.priority);
    if (name == "deadline_ms") return value.read_integer(request.deadline_ms, 1, limits.deadline_ms_max);
    if (name == "session_id") return value.read_text(ask.session_id, limits.session_bytes_max);
    if (name == "upload_ids") return read_upload_ids(value, limits, ask.upload_ids);
    if (name == "project_id") return read_not_yet(value);
    if (name == "raw" || name == "suffix" || name == "template") return read_unsupported(name, value);
    if (name == "think") return read_think(value, request.think);
    if (name == "tools") return read_tools(value, limits, request.tools);
    if (name == "messages") {
      if (value.type() == JsonType::null) return value.skip();
      if (form == AskForm::prompt)
        return fail(Kind::malformed, "invalid_field",
                    "Put the text into \"prompt\": \"messages\" belong to /api/chat.");
      has_messages = true;
      return read_messages(value, limits, request.messages);
    }
    return {};
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));

  if (has_messages && (!prompt.text.empty() || !prompt.images.empty())) {
    return fail(Kind::malformed, "invalid_field", "Send either \"prompt\" or \"messages\", not both.");
  }
  if (form == AskForm::messages && (!prompt.text.empty() || !prompt.images.empty())) {
    return fail(Kind::malformed, "invalid_field",
                "Put the text into \"messages\": \"prompt\" belongs to /api/generate.");
  }
  if (form != AskForm::messages && has_messages && request.messages.empty()) {
    return fail(Kind::malformed, "invalid_field", "\"messages\" must hold at least one message.");
  }
  if (!has_messages && form != AskForm::messages) request.messages.push_back(std::move(prompt));
  if (!system.empty()) {
    request.messages.insert(request.messages.begin(), {.speaker = llm::Speaker::system, .text = std::move(system)});
  }
  if (!model.empty()) {
    ask.model_named = true;
    request.model = std::move(model);
  }
  if (auto checked = check_tools(request); !checked) return std::unexpected(std::move(checked.error()));
  if (auto fits = check_text_size(request, limits); !fits) return std::unexpected(std::move(fits.error()));
  return ask;
}

}  // namespace gbgreg::protocols

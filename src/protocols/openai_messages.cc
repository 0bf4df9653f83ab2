#include "protocols/openai_messages.h"

#include <string>

#include "protocols/request_fields.h"
#include "protocols/tools.h"

namespace gbgreg::protocols::openai {
namespace {

// {"url":"…"}, or the bare string that some clients send.
Result<void> read_image_part(JsonValue& value, const Limits& limits, llm::Image& image, bool& as_they_are) {
  if (value.type() == JsonType::text) {
    as_they_are = false;
    return read_image_url(value, limits, image);
  }
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "url") return read_image_url(field, limits, image);
    return {};
  };
  return value.each_field(read_field);
}

Result<void> read_part(JsonValue& part, const Limits& limits, llm::Message& message, bool& as_they_are) {
  std::string type, text;
  llm::Image image;
  bool has_image = false;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "text" || name == "refusal") return field.read_text(text);
    if (name == "image_url") {
      has_image = true;
      return read_image_part(field, limits, image, as_they_are);
    }
    return {};
  };
  if (auto read = part.each_field(read_field); !read) return read;
  if (type == "image_url" && has_image && !image.base64.empty()) {
    message.images.push_back(std::move(image));
    return {};
  }
  if (type == "text" || type == "refusal" || type == "input_text" || type == "output_text") {
    if (type != "text") as_they_are = false;
    message.text += text;
    return {};
  }
  return part.must_be("a part of type \"text\" or \"image_url\"");
}

Result<void> read_content(JsonValue& value, const Limits& limits, llm::Message& message, bool& as_they_are) {
  if (value.type() == JsonType::null) return value.skip();
  if (value.type() == JsonType::text) return value.read_text(message.text);
  if (value.type() != JsonType::array) return value.must_be("a string or an array of parts");
  return value.each_element([&](JsonValue& part) { return read_part(part, limits, message, as_they_are); });
}

Result<void> read_role(JsonValue& value, llm::Speaker& speaker, bool& as_they_are) {
  std::string_view role;
  if (auto read = value.read_text(role); !read) return read;
  if (role == "system") {
    speaker = llm::Speaker::system;
  } else if (role == "developer") {
    speaker = llm::Speaker::system;
    as_they_are = false;  // Chat templates know no developers.
  } else if (role == "user") {
    speaker = llm::Speaker::user;
  } else if (role == "assistant") {
    speaker = llm::Speaker::assistant;
  } else if (role == "tool") {
    speaker = llm::Speaker::tool;
  } else {
    return value.must_be("\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
  }
  return {};
}

Result<void> read_message(JsonValue& value, const Limits& limits, llm::Message& message, bool& as_they_are) {
  bool has_role = false;
  bool has_content = false;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "role") {
      has_role = true;
      return read_role(field, message.speaker, as_they_are);
    }
    if (name == "content") {
      has_content = field.type() != JsonType::null;
      return read_content(field, limits, message, as_they_are);
    }
    if (name == "tool_calls") return read_tool_calls(field, limits, message.tool_calls);
    if (name == "tool_call_id") return field.read_text(message.tool_call_id, limits.tool_name_bytes_max);
    if (name == "reasoning_content") return field.read_text(message.thinking);
    // Anything else would be the worker's to misunderstand.
    if (field.type() != JsonType::null) as_they_are = false;
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (!has_role) return value.must_be("a message with a \"role\"");
  if (!has_content && message.tool_calls.empty() && message.speaker != llm::Speaker::assistant) {
    return value.must_be("a message with \"content\"");
  }
  if (!has_content && message.tool_calls.empty()) as_they_are = false;
  return {};
}

}  // namespace

Result<void> read_image_url(JsonValue& value, const Limits& limits, llm::Image& image) {
  constexpr std::string_view kBase64 = ";base64,";
  if (value.type() != JsonType::text) return value.must_be("a string");
  std::string_view url;
  if (auto read = value.read_text(url); !read) return read;
  const std::size_t comma = url.starts_with("data:") ? url.substr(0, 128).find(kBase64) : std::string_view::npos;
  if (comma == std::string_view::npos) {
    return value.must_be("a data URL in base64 (data:image/png;base64,…): nothing is fetched from elsewhere");
  }
  return take_image(value, url.substr(comma + kBase64.size()), limits, image);
}

Result<void> read_chat_messages(JsonValue& value, const Limits& limits, std::vector<llm::Message>& messages,
                                bool& as_they_are) {
  messages.clear();
  std::size_t images = 0;
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (messages.size() == limits.messages_max) {
      return value.must_be("at most " + std::to_string(limits.messages_max) + " messages");
    }
    if (auto read = read_message(element, limits, messages.emplace_back(), as_they_are); !read) return read;
    images += messages.back().images.size();
    if (images > limits.images_max) return too_many_images(value, limits);
    return {};
  });
}

}  // namespace gbgreg::protocols::openai

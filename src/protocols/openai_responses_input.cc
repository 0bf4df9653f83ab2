#include "protocols/openai_responses_input.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocols/openai_messages.h"
#include "protocols/request_fields.h"

namespace gbgreg::protocols::openai_responses {
namespace {

// What the parts of a message, of an output or of a thought come to.
struct Content {
  std::string text = {};
  std::string thoughts = {};
  std::vector<llm::Image> images = {};
  std::vector<NamedFile> files = {};
};

// One item as it stands there: its type may come last.
struct Item {
  std::string type = {};
  std::string role = {};
  std::string call_id = {};
  std::string name = {};
  std::string arguments = {};
  Content content = {};  // Of "content" or "output".
  Content summary = {};
  bool has_content = false;
};

Result<void> read_part(JsonValue& part, const Limits& limits, Content& content) {
  std::string type, text, file_id;
  llm::Image image;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "text" || name == "refusal") return field.read_text(text);
    if (name == "file_id") return field.read_text(file_id, limits.file_id_bytes_max);
    if (name == "image_url" && field.type() != JsonType::null) return openai::read_image_url(field, limits, image);
    return {};
  };
  if (auto read = part.each_field(read_field); !read) return read;

  if (type == "input_text" || type == "output_text" || type == "text" || type == "refusal") {
    content.text += text;
  } else if (type == "reasoning_text" || type == "summary_text") {
    content.thoughts += text;
  } else if (type == "input_image") {
    if (image.base64.empty()) return part.must_be("an image whose \"image_url\" is a data URL");
    content.images.push_back(std::move(image));
  } else if (type == "input_file") {
    if (file_id.empty()) {
      return part.must_be(
          "a file named by its \"file_id\": upload it with POST /v1/files, and nothing else is fetched");
    }
    if (content.files.size() == limits.files_max) {
      return part.must_be("one of at most " + std::to_string(limits.files_max) + " files");
    }
    content.files.push_back(
        {.id = std::move(file_id), .offset = content.text.size(), .field = part.path() + ".file_id"});
  } else {
    return part.must_be("a part of type \"input_text\", \"input_image\", \"input_file\" or \"output_text\"");
  }
  return {};
}

// A text, or parts.
Result<void> read_content(JsonValue& value, const Limits& limits, Content& content) {
  content = {};
  if (value.type() == JsonType::null) return value.skip();
  if (value.type() == JsonType::text) return value.read_text(content.text);
  if (value.type() != JsonType::array) return value.must_be("a string or an array of parts");
  return value.each_element([&](JsonValue& part) { return read_part(part, limits, content); });
}

Result<void> read_item(JsonValue& value, const Limits& limits, Item& item) {
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(item.type);
    if (name == "role") return field.read_text(item.role);
    if (name == "call_id") return field.read_text(item.call_id, limits.tool_name_bytes_max);
    if (name == "name") return field.read_text(item.name, limits.tool_name_bytes_max);
    if (name == "arguments") return field.read_text(item.arguments);
    if (name == "summary") return read_content(field, limits, item.summary);
    if (name == "content" || name == "output") {
      item.has_content = field.type() != JsonType::null;
      return read_content(field, limits, item.content);
    }
    return {};
  });
}

std::optional<llm::Speaker> speaker_of(std::string_view role) {
  if (role == "user") return llm::Speaker::user;
  if (role == "assistant") return llm::Speaker::assistant;
  if (role == "system" || role == "developer") return llm::Speaker::system;
  return std::nullopt;
}

// Puts items together to messages, in their order.
class Conversation {
 public:
  Conversation(const Limits& limits, Asked& asked) : limits_(limits), asked_(asked) {}

  Result<void> take(JsonValue& value, Item item) {
    if (item.type == "function_call_output") return take_output(value, std::move(item));
    if (item.type == "function_call") return take_call(value, std::move(item));
    if (item.type == "reasoning") return take_thought(std::move(item));
    if (item.type == "item_reference") {
      return value.must_be("the item itself: items are not kept here, so a reference leads nowhere (\"store\": false)");
    }
    if (!item.type.empty() && item.type != "message") {
      return value.must_be("an item of type \"message\", \"function_call\", \"function_call_output\" or \"reasoning\"");
    }
    return take_message(value, std::move(item));
  }

  // To be called behind the last item.
  void finish() { show_images(); }

 private:
  std::vector<llm::Message>& messages() { return asked_.request.messages; }

  Result<void> take_message(JsonValue& value, Item item) {
    const auto speaker = speaker_of(item.role);
    if (!speaker) {
      return value.must_be("a message whose \"role\" is \"user\", \"assistant\", \"system\" or \"developer\"");
    }
    if (!item.has_content) return value.must_be("a message with \"content\"");
    if (*speaker == llm::Speaker::assistant) {
      show_images();
      // A second message of the assistant's is one of its own; what it thought belongs to the one that follows.
      const bool goes_on = is_assistants_turn() && messages().back().text.empty();
      return add_content(goes_on ? messages().back() : add(*speaker), std::move(item.content));
    }
    if (*speaker != llm::Speaker::user) show_images();
    llm::Message& message = add(*speaker);
    message.images = std::exchange(images_, {});
    return add_content(message, std::move(item.content));
  }

  Result<void> take_thought(Item item) {
    show_images();
    // The thought as it was, else its summary, else nothing: it was hidden from its author (encrypted_content).
    const std::string& thoughts = item.content.thoughts.empty() ? item.summary.thoughts : item.content.thoughts;
    if (thoughts.empty()) return {};
    const bool goes_on = is_assistants_turn() && messages().back().text.empty() && messages().back().tool_calls.empty();
    llm::Message& message = goes_on ? messages().back() : add(llm::Speaker::assistant);
    message.thinking += thoughts;
    return {};
  }

  Result<void> take_call(JsonValue& value, Item item) {
    if (item.call_id.empty() || item.name.empty()) return value.must_be("a call with a \"call_id\" and a \"name\"");
    show_images();
    llm::Message& message = is_assistants_turn() ? messages().back() : add(llm::Speaker::assistant);
    if (message.tool_calls.size() == limits_.tool_calls_max) {
      return value.must_be("one of at most " + std::to_string(limits_.tool_calls_max) + " calls in a row");
    }
    if (item.arguments.empty()) item.arguments = "{}";
    message.tool_calls.push_back(
        {.id = std::move(item.call_id), .name = std::move(item.name), .arguments = std::move(item.arguments)});
    return {};
  }

  Result<void> take_output(JsonValue& value, Item item) {
    if (item.call_id.empty()) return value.must_be("an output with a \"call_id\"");
    if (!item.has_content) return value.must_be("an output with an \"output\"");
    llm::Message& message = add(llm::Speaker::tool);
    message.tool_call_id = std::move(item.call_id);
    // Templates know no images in what a tool gave: the user shows them, once all tools have answered.
    std::ranges::move(item.content.images, std::back_inserter(images_));
    item.content.images.clear();
    return add_content(message, std::move(item.content));
  }

  void show_images() {
    if (images_.empty()) return;
    add(llm::Speaker::user).images = std::exchange(images_, {});
  }

  bool is_assistants_turn() const {
    const auto& all = asked_.request.messages;
    return !all.empty() && all.back().speaker == llm::Speaker::assistant;
  }

  llm::Message& add(llm::Speaker speaker) {
    return messages().emplace_back(llm::Message{.speaker = speaker, .text = {}});
  }

  // `message` is the last one.
  Result<void> add_content(llm::Message& message, Content content) {
    for (NamedFile& file : content.files) {
      file.message = messages().size() - 1;
      file.offset += message.text.size();
      asked_.files.push_back(std::move(file));
    }
    message.text += content.text;
    message.thinking += content.thoughts;
    std::ranges::move(content.images, std::back_inserter(message.images));
    return {};
  }

  const Limits& limits_;
  Asked& asked_;
  std::vector<llm::Image> images_;  // Of the outputs since the last message.
};

}  // namespace

Result<void> read_input(JsonValue& value, const Limits& limits, Asked& asked) {
  auto& messages = asked.request.messages;
  messages.clear();
  asked.files.clear();
  if (value.type() == JsonType::text) return value.read_text(messages.emplace_back().text);
  if (value.type() != JsonType::array) return value.must_be("a string or an array of items");
  Conversation conversation(limits, asked);
  std::size_t items = 0;
  auto read = value.each_element([&](JsonValue& element) -> Result<void> {
    if (++items > limits.messages_max) {
      return value.must_be("at most " + std::to_string(limits.messages_max) + " items");
    }
    Item item;
    if (auto done = read_item(element, limits, item); !done) return done;
    return conversation.take(element, std::move(item));
  });
  if (!read) return read;
  conversation.finish();
  std::size_t images = 0;
  for (const auto& message : messages) images += message.images.size();
  if (images > limits.images_max) return too_many_images(value, limits);
  if (asked.files.size() > limits.files_max) {
    return value.must_be("items with at most " + std::to_string(limits.files_max) + " files");
  }
  return {};
}

}  // namespace gbgreg::protocols::openai_responses

// POST /v1/messages: what is asked.
#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "protocols/anthropic.h"
#include "protocols/json_reader.h"
#include "protocols/request_fields.h"
#include "protocols/tools.h"

namespace gbgreg::protocols::anthropic {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();

// What one message of Anthropic's comes to: the results of tools, each a message of its own, and what else was said.
struct Spoken {
  std::vector<llm::Message> results;
  llm::Message message;
  bool has_content = false;
};

// {"type":"base64","media_type","data"}
Result<void> read_source(JsonValue& value, const Limits& limits, llm::Image& image) {
  std::string type;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name != "data") return {};
    std::string_view data;
    if (field.type() != JsonType::text) return field.must_be("a string of base64");
    if (auto read = field.read_text(data); !read) return read;
    return take_image(field, data, limits, image);
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type == "base64" && !image.base64.empty()) return {};
  return value.must_be("of type \"base64\", with the image in \"data\": nothing is fetched from elsewhere");
}

// The content of a tool's result: a text, or blocks of texts and images.
Result<void> read_result_content(JsonValue& value, const Limits& limits, llm::Message& result,
                                 std::vector<llm::Image>& images) {
  if (value.type() == JsonType::null) return value.skip();
  if (value.type() == JsonType::text) return value.read_text(result.text);
  return value.each_element([&](JsonValue& block) -> Result<void> {
    std::string type, text;
    llm::Image image;
    auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
      if (name == "type") return field.read_text(type);
      if (name == "text") return field.read_text(text);
      if (name == "source") return read_source(field, limits, image);
      return {};
    };
    if (auto read = block.each_field(read_field); !read) return read;
    if (type == "text") {
      result.text += text;
    } else if (type == "image" && !image.base64.empty()) {
      images.push_back(std::move(image));
    } else {
      return block.must_be("a block of type \"text\" or \"image\"");
    }
    return {};
  });
}

Result<void> read_block(JsonValue& block, const Limits& limits, Spoken& spoken) {
  std::string type, text, thinking;
  llm::Image image;
  llm::ToolCall call;
  llm::Message result{.speaker = llm::Speaker::tool, .text = {}};
  std::vector<llm::Image> result_images;
  std::optional<bool> is_error;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "text") return field.read_text(text);
    if (name == "thinking") return field.read_text(thinking);
    if (name == "source") return read_source(field, limits, image);
    if (name == "id") return field.read_text(call.id, limits.tool_name_bytes_max);
    if (name == "name") return field.read_text(call.name, limits.tool_name_bytes_max);
    if (name == "input") return field.read_raw(call.arguments, limits.text_bytes_max);
    if (name == "tool_use_id") return field.read_text(result.tool_call_id, limits.tool_name_bytes_max);
    if (name == "content") return read_result_content(field, limits, result, result_images);
    if (name == "is_error") return field.read_boolean(is_error);
    return {};
  };
  if (auto read = block.each_field(read_field); !read) return read;

  llm::Message& message = spoken.message;
  if (type == "tool_result") {
    if (result.tool_call_id.empty()) return block.must_be("a result with a \"tool_use_id\"");
    if (is_error.value_or(false)) result.text.insert(0, "Error: ");
    spoken.results.push_back(std::move(result));
    std::ranges::move(result_images, std::back_inserter(message.images));
    spoken.has_content |= !message.images.empty();
    return {};
  }
  if (type == "redacted_thinking") return {};
  spoken.has_content = true;
  if (type == "text") {
    message.text += text;
  } else if (type == "thinking") {
    message.thinking += thinking;
  } else if (type == "image") {
    if (image.base64.empty()) return block.must_be("an image with a \"source\"");
    message.images.push_back(std::move(image));
  } else if (type == "tool_use") {
    if (call.name.empty() || call.id.empty()) return block.must_be("a call with an \"id\" and a \"name\"");
    if (call.arguments.empty()) call.arguments = "{}";
    message.tool_calls.push_back(std::move(call));
  } else {
    return block.must_be("a block of type \"text\", \"image\", \"thinking\", \"tool_use\" or \"tool_result\"");
  }
  return {};
}

Result<void> read_message(JsonValue& value, const Limits& limits, std::vector<llm::Message>& messages) {
  Spoken spoken;
  std::string_view role;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "role") return field.read_text(role);
    if (name != "content") return {};
    if (field.type() == JsonType::text) {
      spoken.has_content = true;
      return field.read_text(spoken.message.text);
    }
    if (field.type() != JsonType::array) return field.must_be("a string or an array of blocks");
    return field.each_element([&](JsonValue& block) { return read_block(block, limits, spoken); });
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (role != "user" && role != "assistant" && role != "system") {
    return value.must_be("a message whose \"role\" is \"user\" or \"assistant\"");
  }
  spoken.message.speaker = role == "user"        ? llm::Speaker::user
                           : role == "assistant" ? llm::Speaker::assistant
                                                 : llm::Speaker::system;
  std::ranges::move(spoken.results, std::back_inserter(messages));
  if (spoken.has_content) messages.push_back(std::move(spoken.message));
  return {};
}

// A text, or blocks of texts.
Result<void> read_system(JsonValue& value, const Limits& limits, std::string& system) {
  if (value.type() != JsonType::array) return value.read_text(system);
  return value.each_element([&](JsonValue& block) -> Result<void> {
    Spoken spoken;
    if (auto read = read_block(block, limits, spoken); !read) return read;
    if (!spoken.message.images.empty() || !spoken.message.tool_calls.empty() || !spoken.results.empty()) {
      return block.must_be("a block of type \"text\"");
    }
    if (!system.empty()) system += "\n\n";
    system += spoken.message.text;
    return {};
  });
}

Result<void> read_schema(JsonValue& value, const Limits& limits, std::string& schema) {
  if (value.type() != JsonType::object) return value.must_be("a JSON schema");
  return value.read_raw(schema, limits.schema_bytes_max);
}

Result<void> read_one_tool(JsonValue& value, const Limits& limits, llm::Tool& tool) {
  std::string type;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "name") return field.read_text(tool.name, limits.tool_name_bytes_max);
    if (name == "description") return field.read_text(tool.description);
    if (name == "input_schema") return read_schema(field, limits, tool.parameters_json);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (!type.empty() && type != "custom") return value.must_be("a tool of your own: those of the provider are not here");
  if (tool.name.empty()) return value.must_be("a tool with a \"name\"");
  return {};
}

Result<void> read_own_tools(JsonValue& value, const Limits& limits, std::vector<llm::Tool>& tools) {
  tools.clear();
  if (value.type() == JsonType::null) return value.skip();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (tools.size() == limits.tools_max) {
      return value.must_be("at most " + std::to_string(limits.tools_max) + " tools");
    }
    return read_one_tool(element, limits, tools.emplace_back());
  });
}

Result<void> read_choice(JsonValue& value, const Limits& limits, llm::Request& request) {
  if (value.type() == JsonType::null) return value.skip();
  std::string type;
  std::optional<bool> one_at_a_time;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "name") return field.read_text(request.tool_named, limits.tool_name_bytes_max);
    if (name == "disable_parallel_tool_use") return field.read_boolean(one_at_a_time);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (one_at_a_time) request.parallel_tool_calls = !*one_at_a_time;
  if (type == "auto") {
    request.tool_use = llm::ToolUse::automatic;
  } else if (type == "any") {
    request.tool_use = llm::ToolUse::required;
  } else if (type == "none") {
    request.tool_use = llm::ToolUse::none;
  } else if (type == "tool" && !request.tool_named.empty()) {
    request.tool_use = llm::ToolUse::named;
  } else {
    return value.must_be("of type \"auto\", \"any\", \"none\", or \"tool\" with a \"name\"");
  }
  return {};
}

Result<void> read_thinking(JsonValue& value, std::optional<bool>& think) {
  if (value.type() == JsonType::null) return value.skip();
  std::string type;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type != "enabled" && type != "adaptive" && type != "disabled") {
    return value.must_be("of type \"enabled\", \"adaptive\" or \"disabled\"");
  }
  think = type != "disabled";
  return {};
}

// {"type":"json_schema","schema":{…}}
Result<void> read_output_format(JsonValue& value, const Limits& limits, llm::Request& request) {
  if (value.type() == JsonType::null) return value.skip();
  std::string type;
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "schema") return read_schema(field, limits, request.schema_json);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type != "json_schema" || request.schema_json.empty()) {
    return value.must_be("of type \"json_schema\", with a \"schema\"");
  }
  request.format = llm::Format::schema;
  return {};
}

Result<void> read_output_config(JsonValue& value, const Limits& limits, llm::Request& request) {
  if (value.type() == JsonType::null) return value.skip();
  return value.each_field([&](std::string_view name, JsonValue& field) -> Result<void> {
    return name == "format" ? read_output_format(field, limits, request) : Result<void>{};
  });
}

// A conversation that the server holds, of which only what is new is sent. To pass over it would be to answer without
// having heard the rest; told so in these words, Anthropic's own tool runner goes on and sends everything.
std::unexpected<Error> threads_are_not_held() {
  return std::unexpected(Error{
      .kind = Kind::malformed,
      .code = "thread_unsupported_request",
      .message = "No conversations are held here: send the whole of it, without \"thread\".",
      .details_json = R"({"error_code":"thread_unsupported_request","unsupported":["thread"],"field":"thread"})"});
}

std::unexpected<Error> missing(std::string_view field, std::string_view sentence) {
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = std::string(sentence),
                               .details_json = R"({"field":")" + std::string(field) + R"("})"});
}

}  // namespace

Result<Asked> parse_messages(std::string_view body, const Limits& limits, For purpose) {
  Asked asked;
  llm::Request& request = asked.request;
  llm::Sampling& sampling = request.sampling;
  std::string system;
  std::optional<bool> stream;

  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "model") return value.read_text(request.model, limits.model_bytes_max);
    if (name == "max_tokens") return value.read_integer(sampling.tokens_max, 1, kIntMax);
    if (name == "system") return read_system(value, limits, system);
    if (name == "stream") return value.read_boolean(stream);
    if (name == "stop_sequences") return read_stops(value, limits, sampling.stop);
    if (name == "temperature") return value.read_number(sampling.temperature, 0, 1);
    if (name == "top_p") return value.read_number(sampling.top_p, 0, 1);
    if (name == "top_k") return value.read_integer(sampling.top_k, 0, 100'000);
    if (name == "tools") return read_own_tools(value, limits, request.tools);
    if (name == "tool_choice") return read_choice(value, limits, request);
    if (name == "thinking") return read_thinking(value, request.think);
    if (name == "output_config") return read_output_config(value, limits, request);
    if (name == "thread" && value.type() != JsonType::null) return threads_are_not_held();
    if (name == "messages") {
      request.messages.clear();
      return value.each_element([&](JsonValue& element) -> Result<void> {
        if (request.messages.size() >= limits.messages_max) {
          return value.must_be("at most " + std::to_string(limits.messages_max) + " messages");
        }
        return read_message(element, limits, request.messages);
      });
    }
    return {};
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));

  if (request.messages.empty()) return missing("messages", "\"messages\" must hold at least one message.");
  if (purpose == For::answer && !sampling.tokens_max) {
    return missing("max_tokens", "\"max_tokens\" must say how long the answer may be.");
  }
  std::size_t images = 0;
  for (const auto& message : request.messages) images += message.images.size();
  if (images > limits.images_max) {
    return fail(Kind::too_large, "too_many_images",
                "\"messages\" hold more than the limit of " + std::to_string(limits.images_max) + " images.");
  }
  if (!system.empty()) {
    request.messages.insert(request.messages.begin(), {.speaker = llm::Speaker::system, .text = std::move(system)});
  }
  if (request.model.empty()) request.model = "auto";
  request.stop_sequence_wanted = true;
  asked.stream = stream.value_or(false);
  if (auto checked = check_tools(request); !checked) return std::unexpected(std::move(checked.error()));
  if (auto fits = check_text_size(request, limits); !fits) return std::unexpected(std::move(fits.error()));
  return asked;
}

}  // namespace gbgreg::protocols::anthropic

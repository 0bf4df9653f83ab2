#include "protocols/tools.h"

#include <algorithm>

namespace gbgreg::protocols {
namespace {

Result<void> read_tool(JsonValue& value, const Limits& limits, llm::Tool& tool) {
  std::string type = "function";
  bool has_function = false;
  auto read_function = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "name") return field.read_text(tool.name, limits.tool_name_bytes_max);
    if (name == "description") return field.read_text(tool.description);
    if (name == "parameters") {
      if (field.type() == JsonType::null) return field.skip();
      if (field.type() != JsonType::object) return field.must_be("a JSON schema");
      return field.read_raw(tool.parameters_json, limits.schema_bytes_max);
    }
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "type") return field.read_text(type);
    if (name == "function") {
      has_function = true;
      return field.each_field(read_function);
    }
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (type != "function" || !has_function) return value.must_be("a tool of type \"function\"");
  if (tool.name.empty()) return value.must_be("a tool with a name");
  return {};
}

Result<void> read_call(JsonValue& value, const Limits& limits, llm::ToolCall& call) {
  auto read_function = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "name") return field.read_text(call.name, limits.tool_name_bytes_max);
    if (name == "arguments") {
      if (field.type() == JsonType::object) return field.read_raw(call.arguments, limits.text_bytes_max);
      return field.read_text(call.arguments);
    }
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "id") return field.read_text(call.id, limits.tool_name_bytes_max);
    if (name == "function") return field.each_field(read_function);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (call.name.empty()) return value.must_be("a call of a function with a name");
  if (call.arguments.empty()) call.arguments = "{}";
  return {};
}

std::unexpected<Error> wrong(std::string_view field, std::string_view sentence) {
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = std::string(sentence),
                               .details_json = R"({"field":")" + std::string(field) + R"("})"});
}

}  // namespace

Result<void> read_tools(JsonValue& value, const Limits& limits, std::vector<llm::Tool>& tools) {
  tools.clear();
  if (value.type() == JsonType::null) return value.skip();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (tools.size() == limits.tools_max) {
      return value.must_be("at most " + std::to_string(limits.tools_max) + " tools");
    }
    return read_tool(element, limits, tools.emplace_back());
  });
}

Result<void> read_tool_choice(JsonValue& value, const Limits& limits, llm::Request& request) {
  constexpr std::string_view kWanted = "\"auto\", \"none\", \"required\", or an object that names a function";
  request.tool_use = llm::ToolUse::automatic;
  request.tool_named.clear();
  if (value.type() == JsonType::null) return value.skip();
  if (value.type() == JsonType::text) {
    std::string_view choice;
    if (auto read = value.read_text(choice); !read) return read;
    if (choice == "auto") return {};
    if (choice != "none" && choice != "required") return value.must_be(kWanted);
    request.tool_use = choice == "none" ? llm::ToolUse::none : llm::ToolUse::required;
    return {};
  }
  if (value.type() != JsonType::object) return value.must_be(kWanted);
  auto read_function = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "name") return field.read_text(request.tool_named, limits.tool_name_bytes_max);
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    // The flat form {"type":"function","name":…} is that of OpenAI's responses.
    if (name == "name") return field.read_text(request.tool_named, limits.tool_name_bytes_max);
    if (name == "function") return field.each_field(read_function);
    return {};
  };
  if (auto read = value.each_field(read_field); !read) return read;
  if (request.tool_named.empty()) return value.must_be(kWanted);
  request.tool_use = llm::ToolUse::named;
  return {};
}

Result<void> read_tool_calls(JsonValue& value, const Limits& limits, std::vector<llm::ToolCall>& calls) {
  calls.clear();
  if (value.type() == JsonType::null) return value.skip();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (calls.size() == limits.tool_calls_max) {
      return value.must_be("at most " + std::to_string(limits.tool_calls_max) + " tool calls");
    }
    return read_call(element, limits, calls.emplace_back());
  });
}

Result<void> check_tools(const llm::Request& request) {
  const auto& tools = request.tools;
  for (auto tool = tools.begin(); tool != tools.end(); ++tool) {
    if (std::find_if(std::next(tool), tools.end(), [&](const auto& other) { return other.name == tool->name; }) ==
        tools.end()) {
      continue;
    }
    return wrong("tools", "\"tools\" must not hold two tools of one name.");
  }
  const bool is_known = request.tool_use != llm::ToolUse::named ||
                        std::ranges::find(tools, request.tool_named, &llm::Tool::name) != tools.end();
  const bool has_tools =
      !tools.empty() || request.tool_use == llm::ToolUse::automatic || request.tool_use == llm::ToolUse::none;
  if (is_known && has_tools) return {};
  return wrong("tool_choice", "\"tool_choice\" must name one of \"tools\".");
}

std::string arguments_object(std::string_view arguments) {
  constexpr std::string_view kNone = "{}";
  const JsonBounds bounds{.what = "The arguments"};
  const auto ignore = [](std::string_view, JsonValue&) -> Result<void> { return {}; };
  return std::string(read_json_object(arguments, bounds, ignore) ? arguments : kNone);
}

}  // namespace gbgreg::protocols

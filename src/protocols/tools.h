// Tools in a request: what a model may call, and what it called before. OpenAI and Ollama write both in one shape but
// for the arguments of a call, which are a string of JSON there and an object here; both are taken.
#pragma once

#include <string>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/json_reader.h"
#include "protocols/options.h"

namespace gbgreg::protocols {

// [{"type":"function","function":{"name","description"?,"parameters"?}}, …], replacing what is in `tools`.
Result<void> read_tools(JsonValue& value, const Limits& limits, std::vector<llm::Tool>& tools);

// "auto", "none", "required", or {"type":"function","function":{"name"}}.
Result<void> read_tool_choice(JsonValue& value, const Limits& limits, llm::Request& request);

// [{"id"?,"type"?,"function":{"name","arguments"}}, …], replacing what is in `calls`.
Result<void> read_tool_calls(JsonValue& value, const Limits& limits, std::vector<llm::ToolCall>& calls);

// Errors: malformed when a tool is named that is not there, or two have one name.
Result<void> check_tools(const llm::Request& request);

// The arguments that a model wrote, as the JSON object that they should be: {} when they are none.
std::string arguments_object(std::string_view arguments);

}  // namespace gbgreg::protocols

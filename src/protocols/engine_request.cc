#include <algorithm>
#include <span>
#include <string>

#include "protocols/engine_wire.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::engine_wire {
namespace {

constexpr int kRepeatLastMax = 128 * 1024;

std::string_view speaker_name(llm::Speaker speaker) {
  switch (speaker) {
    case llm::Speaker::system:
      return "system";
    case llm::Speaker::user:
      return "user";
    case llm::Speaker::assistant:
      return "assistant";
    case llm::Speaker::tool:
      return "tool";
  }
  return "user";
}

void write_image(JsonWriter& json, const llm::Image& image) {
  json.open_object();
  json.key("type").text("image_url");
  json.key("image_url").open_object();
  std::string url;
  url.reserve(image.base64.size() + 32);
  url.append("data:").append(image.media_type).append(";base64,").append(image.base64);
  json.key("url").text(url);
  json.close_object();
  json.close_object();
}

void write_content(JsonWriter& json, const llm::Message& message) {
  if (message.images.empty()) {
    // A message that only calls tools has no text at all, which some templates tell apart from an empty one.
    if (message.text.empty() && !message.tool_calls.empty()) return json.null();
    return json.text(message.text);
  }
  // The images first, as Ollama puts them: what is asked about them follows.
  json.open_array();
  for (const auto& image : message.images) write_image(json, image);
  if (!message.text.empty()) {
    json.open_object();
    json.key("type").text("text");
    json.key("text").text(message.text);
    json.close_object();
  }
  json.close_array();
}

void write_tool_call(JsonWriter& json, const llm::ToolCall& call) {
  json.open_object();
  json.key("type").text("function");
  json.key("id").text(call.id);
  json.key("function").open_object();
  json.key("name").text(call.name);
  json.key("arguments").text(call.arguments);
  json.close_object();
  json.close_object();
}

// OpenAI itself refuses messages with fields that it does not know.
void write_message(JsonWriter& json, const llm::Message& message, Takes takes) {
  json.open_object();
  json.key("role").text(speaker_name(message.speaker));
  json.key("content");
  write_content(json, message);
  const bool is_strict = takes == Takes::openai;
  if (!message.thinking.empty() && !is_strict) json.key("reasoning_content").text(message.thinking);
  if (!message.tool_calls.empty()) {
    json.key("tool_calls").open_array();
    for (const auto& call : message.tool_calls) write_tool_call(json, call);
    json.close_array();
  }
  if (!message.tool_call_id.empty()) json.key("tool_call_id").text(message.tool_call_id);
  const bool is_known_by_id = is_strict && !message.tool_call_id.empty();
  if (!message.tool_name.empty() && !is_known_by_id) json.key("name").text(message.tool_name);
  json.close_object();
}

std::string_view tool_use_name(llm::ToolUse use) {
  switch (use) {
    case llm::ToolUse::automatic:
      return "auto";
    case llm::ToolUse::none:
      return "none";
    case llm::ToolUse::required:
    case llm::ToolUse::named:
      return "required";
  }
  return "auto";
}

void write_tools(JsonWriter& json, const llm::Request& request) {
  if (request.tools.empty()) return;
  json.key("tools").open_array();
  for (const auto& tool : request.tools) {
    // The worker knows no choice by name; one that has nothing else to choose comes to the same.
    if (request.tool_use == llm::ToolUse::named && tool.name != request.tool_named) continue;
    json.open_object();
    json.key("type").text("function");
    json.key("function").open_object();
    json.key("name").text(tool.name);
    if (!tool.description.empty()) json.key("description").text(tool.description);
    json.key("parameters")
        .raw(tool.parameters_json.empty() ? R"({"type":"object","properties":{}})" : tool.parameters_json);
    json.close_object();
    json.close_object();
  }
  json.close_array();
  json.key("tool_choice").text(tool_use_name(request.tool_use));
  if (request.parallel_tool_calls) json.key("parallel_tool_calls").boolean(*request.parallel_tool_calls);
}

void write_sampling(JsonWriter& json, const llm::Sampling& sampling, Takes takes) {
  const auto number = [&](std::string_view name, const auto& value) {
    if (value) json.key(name).number(*value);
  };
  // What not every server has, under the server's own name for it.
  const auto extension = [&](std::string_view ours, const auto& value) {
    if (const std::string_view name = name_at(takes, ours); !name.empty()) number(name, value);
  };
  number("temperature", sampling.temperature);
  number("top_p", sampling.top_p);
  extension("min_p", sampling.min_p);
  extension("top_k", sampling.top_k);
  extension("typical_p", sampling.typical_p);
  extension("repeat_penalty", sampling.repeat_penalty);
  number("presence_penalty", sampling.presence_penalty);
  number("frequency_penalty", sampling.frequency_penalty);
  number("max_tokens", sampling.tokens_max);
  // The worker refuses -1, which means the whole context, and keeps a buffer of the length it is given.
  std::optional<int> last = sampling.repeat_last_n;
  if (last && (*last < 0 || *last > kRepeatLastMax)) last = kRepeatLastMax;
  extension("repeat_last_n", last);
  // A negative seed asks for a random one, which is what the worker takes when it is given none.
  if (sampling.seed && *sampling.seed >= 0) json.key("seed").number(*sampling.seed);
  if (!sampling.stop.empty()) {
    json.key("stop").open_array();
    for (const auto& stop : sampling.stop) json.text(stop);
    json.close_array();
  }
}

void write_format(JsonWriter& json, const llm::Request& request) {
  if (request.format == llm::Format::text) return;
  json.key("response_format").open_object();
  if (request.format == llm::Format::json) {
    json.key("type").text("json_object");
  } else {
    json.key("type").text("json_schema");
    json.key("json_schema").open_object();
    json.key("name").text("answer");
    json.key("schema").raw(request.schema_json);
    json.close_object();
  }
  json.close_object();
}

void write_thinking(JsonWriter& json, const llm::Request& request, Takes takes) {
  const std::string_view name = name_at(takes, "think");
  if (request.think && !name.empty()) json.key(name).raw(thinking_value(*request.think));
}

}  // namespace

void write_messages(std::string& out, std::span<const llm::Message> messages) {
  JsonWriter json(out);
  json.open_array();
  for (const auto& message : messages) write_message(json, message, Takes::engine);
  json.close_array();
}

void write_tool_fields(std::string& fields, const llm::Request& request) {
  std::string object;
  JsonWriter json(object);
  json.open_object();
  write_tools(json, request);
  json.close_object();
  if (object.size() == 2) return;
  if (!fields.empty()) fields += ',';
  fields.append(object, 1, object.size() - 2);
}

std::string thinking_value(bool think) {
  return think ? R"({"enable_thinking":true})" : R"({"enable_thinking":false})";
}

std::string write_chat_request(const llm::Request& request, bool stream, const ChatServer& server) {
  std::size_t size = 512;
  for (const auto& message : request.messages) {
    size += message.text.size() + message.text.size() / 8 + 64;
    for (const auto& image : message.images) size += image.base64.size() + 128;
  }
  std::string out;
  out.reserve(size);
  JsonWriter json(out);
  json.open_object();
  if (!server.model.empty()) json.key("model").text(server.model);
  json.key("messages").open_array();
  for (const auto& message : request.messages) write_message(json, message, server.takes);
  json.close_array();
  json.key("stream").boolean(stream);
  if (stream) {
    json.key("stream_options").open_object();
    json.key("include_usage").boolean(true);
    json.close_object();
  }
  const bool is_engine = server.takes == Takes::engine;
  if (is_engine) json.key("cache_prompt").boolean(true);
  write_sampling(json, request.sampling, server.takes);
  write_format(json, request);
  write_tools(json, request);
  write_thinking(json, request, server.takes);
  // Without it the worker does not say which of them it met.
  if (is_engine && request.stop_sequence_wanted && !request.sampling.stop.empty()) json.key("verbose").boolean(true);
  json.close_object();
  return out;
}

}  // namespace gbgreg::protocols::engine_wire

#include "protocols/anthropic.h"

#include <algorithm>

#include "protocols/json_writer.h"
#include "protocols/tools.h"

namespace gbgreg::protocols::anthropic {
namespace {

std::string_view error_type(Kind kind) {
  switch (kind) {
    case Kind::unauthorized:
      return "authentication_error";
    case Kind::forbidden:
      return "permission_error";
    case Kind::not_found:
      return "not_found_error";
    case Kind::too_large:
      return "request_too_large";
    case Kind::busy:
      return "rate_limit_error";
    case Kind::unavailable:
      return "overloaded_error";
    case Kind::timed_out:
      return "timeout_error";
    case Kind::internal:
    case Kind::backend_failed:
    case Kind::unsupported:
    case Kind::unknown_version:
      return "api_error";
    default:
      return "invalid_request_error";
  }
}

std::string_view stop_reason(const llm::Completion& completion) {
  if (!completion.stop_sequence.empty()) return "stop_sequence";
  switch (completion.reason) {
    case llm::StopReason::stop:
      return "end_turn";
    case llm::StopReason::length:
      return "max_tokens";
    case llm::StopReason::tool_calls:
      return "tool_use";
  }
  return "end_turn";
}

// Ours, in the form that theirs have.
std::string message_id(std::string_view request_id) {
  std::string id = "msg_";
  std::ranges::copy_if(request_id, std::back_inserter(id), [](char c) { return c != '-'; });
  return id;
}

void write_stop(JsonWriter& json, const llm::Completion& completion) {
  json.key("stop_reason").text(stop_reason(completion));
  json.key("stop_sequence");
  if (completion.stop_sequence.empty()) {
    json.null();
  } else {
    json.text(completion.stop_sequence);
  }
}

void write_usage(JsonWriter& json, const llm::Usage& usage) {
  json.key("usage").open_object();
  json.key("input_tokens").number(usage.prompt_tokens);
  json.key("cache_creation_input_tokens").number(0);
  json.key("cache_read_input_tokens").number(0);  // What the model still knew is among the input tokens.
  json.key("output_tokens").number(usage.completion_tokens);
  json.close_object();
}

// `event: NAME` and `data: {"type":NAME,` of one event, and its end.
class Event {
 public:
  Event(std::string& out, std::string_view name) : out_(out), json_(out) {
    out.append("event: ").append(name).append("\ndata: ");
    json_.open_object();
    json_.key("type").text(name);
  }
  ~Event() {
    json_.close_object();
    out_.append("\n\n");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  JsonWriter& json() { return json_; }

 private:
  std::string& out_;
  JsonWriter json_;
};

void write_delta(std::string& out, int index, std::string_view type, std::string_view key, std::string_view text) {
  Event event(out, "content_block_delta");
  event.json().key("index").number(index);
  event.json().key("delta").open_object();
  event.json().key("type").text(type);
  event.json().key(key).text(text);
  event.json().close_object();
}

}  // namespace

void MessageWriter::begin(std::string& out, const llm::AnswerNotes& notes, WallTime) {
  {
    Event event(out, "message_start");
    JsonWriter& json = event.json();
    json.key("message").open_object();
    json.key("id").text(message_id(notes.request_id));
    json.key("type").text("message");
    json.key("role").text("assistant");
    json.key("content").open_array();
    json.close_array();
    json.key("model").text(notes.model);
    json.key("stop_reason").null();
    json.key("stop_sequence").null();
    write_usage(json, {});  // The prompt's tokens are known at the end, and said there.
    json.close_object();
  }
  Event ping(out, "ping");
}

void MessageWriter::open(std::string& out, Block block, const llm::ToolCallPiece* call) {
  if (block_ == block && (call == nullptr || call->index == call_index_)) return;
  close(out);
  block_ = block;
  ++block_index_;
  Event event(out, "content_block_start");
  JsonWriter& json = event.json();
  json.key("index").number(block_index_);
  json.key("content_block").open_object();
  if (call != nullptr) {
    call_index_ = call->index;
    json.key("type").text("tool_use");
    json.key("id").text(call->id);
    json.key("name").text(call->name);
    json.key("input").open_object();
    json.close_object();
  } else if (block == Block::thinking) {
    json.key("type").text("thinking");
    json.key("thinking").text("");
    json.key("signature").text("");
  } else {
    json.key("type").text("text");
    json.key("text").text("");
  }
  json.close_object();
}

void MessageWriter::close(std::string& out) {
  if (block_ == Block::none) return;
  // Whoever sends the thought back needs a signature to send with it; a local model's is empty.
  if (block_ == Block::thinking) write_delta(out, block_index_, "signature_delta", "signature", "");
  Event event(out, "content_block_stop");
  event.json().key("index").number(block_index_);
  block_ = Block::none;
}

void MessageWriter::delta(std::string& out, const llm::Delta& piece, WallTime) {
  if (!piece.thinking.empty()) {
    open(out, Block::thinking, nullptr);
    write_delta(out, block_index_, "thinking_delta", "thinking", piece.thinking);
  }
  if (!piece.text.empty()) {
    open(out, Block::text, nullptr);
    write_delta(out, block_index_, "text_delta", "text", piece.text);
  }
  for (const llm::ToolCallPiece& call : piece.tool_calls) {
    open(out, Block::tool, &call);
    if (!call.arguments.empty()) {
      write_delta(out, block_index_, "input_json_delta", "partial_json", call.arguments);
    }
  }
}

void MessageWriter::end(std::string& out, const llm::Answer& answer, WallTime) {
  close(out);
  {
    Event event(out, "message_delta");
    event.json().key("delta").open_object();
    write_stop(event.json(), answer.completion);
    event.json().close_object();
    write_usage(event.json(), answer.completion.usage);
  }
  Event stop(out, "message_stop");
}

void MessageWriter::broken(std::string& out, const Error& error, std::string_view request_id) {
  out.append("event: error\ndata: ").append(write_error(error, request_id)).append("\n\n");
}

void MessageWriter::whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime) {
  JsonWriter json(out);
  json.open_object();
  json.key("id").text(message_id(answer.notes.request_id));
  json.key("type").text("message");
  json.key("role").text("assistant");
  json.key("model").text(answer.notes.model);
  json.key("content").open_array();
  const auto write_block = [&](std::string_view type, std::string_view text) {
    if (text.empty()) return;
    json.open_object();
    json.key("type").text(type);
    json.key(type).text(text);
    if (type == "thinking") json.key("signature").text("");
    json.close_object();
  };
  write_block("thinking", all.thinking);
  write_block("text", all.text);
  for (const llm::ToolCallPiece& call : all.tool_calls) {
    json.open_object();
    json.key("type").text("tool_use");
    json.key("id").text(call.id);
    json.key("name").text(call.name);
    json.key("input").raw(arguments_object(call.arguments));
    json.close_object();
  }
  json.close_array();
  write_stop(json, answer.completion);
  write_usage(json, answer.completion.usage);
  json.close_object();
}

std::string write_error(const Error& error, std::string_view request_id) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("type").text("error");
  json.key("error").open_object();
  json.key("type").text(error_type(error.kind));
  json.key("message").text(error.message);
  json.key("code").text(error.code.empty() ? kind_name(error.kind) : std::string_view(error.code));
  if (!error.details_json.empty()) json.key("details").raw(error.details_json);
  json.close_object();
  json.key("request_id").text(request_id);
  json.close_object();
  return out;
}

std::string write_count(int tokens) { return R"({"input_tokens":)" + std::to_string(tokens) + "}"; }

}  // namespace gbgreg::protocols::anthropic

// What Ollama's clients read: lines, whole answers, lists of models.
#include <algorithm>
#include <cmath>
#include <vector>

#include "protocols/json_writer.h"
#include "protocols/native.h"
#include "protocols/ollama.h"
#include "protocols/ollama_models.h"
#include "protocols/tools.h"

namespace gbgreg::protocols::ollama {
namespace {

// Ollama has no word for an answer that ended in tool calls.
std::string_view done_reason(llm::StopReason reason) { return reason == llm::StopReason::length ? "length" : "stop"; }

std::int64_t nanoseconds(double milliseconds) { return std::llround(milliseconds * 1e6); }

void write_beginning(JsonWriter& json, std::string_view model, WallTime now) {
  json.open_object();
  json.key("model").text(model);
  json.key("created_at").text(rfc3339(now));
}

void write_tool_calls(JsonWriter& json, const std::vector<llm::ToolCallPiece>& calls) {
  if (calls.empty()) return;
  json.key("tool_calls").open_array();
  for (const auto& call : calls) {
    json.open_object();
    if (!call.id.empty()) json.key("id").text(call.id);
    json.key("function").open_object();
    json.key("index").number(call.index);
    json.key("name").text(call.name);
    json.key("arguments").raw(arguments_object(call.arguments));
    json.close_object();
    json.close_object();
  }
  json.close_array();
}

void write_message(JsonWriter& json, const llm::Delta& piece) {
  json.key("message").open_object();
  json.key("role").text("assistant");
  json.key("content").text(piece.text);
  if (!piece.thinking.empty()) json.key("thinking").text(piece.thinking);
  write_tool_calls(json, piece.tool_calls);
  json.close_object();
}

void write_response(JsonWriter& json, const llm::Delta& piece) {
  json.key("response").text(piece.text);
  if (!piece.thinking.empty()) json.key("thinking").text(piece.thinking);
}

// What ends every answer, streamed or whole, and its line feed.
void write_ending(JsonWriter& json, std::string& out, const llm::Answer& answer) {
  const llm::Usage& usage = answer.completion.usage;
  json.key("done").boolean(true);
  json.key("done_reason").text(done_reason(answer.completion.reason));
  json.key("total_duration").number(nanoseconds(answer.notes.total_ms));
  json.key("load_duration").number(answer.load.count());
  json.key("prompt_eval_count").number(usage.prompt_tokens);
  json.key("prompt_eval_duration").number(nanoseconds(usage.prompt_ms));
  json.key("eval_count").number(usage.completion_tokens);
  json.key("eval_duration").number(nanoseconds(usage.generation_ms));
  json.key("gbgreg");
  native::write_notes(json, answer.notes);
  json.close_object();
  out += '\n';
}

void write_more_follows(JsonWriter& json, std::string& out) {
  json.key("done").boolean(false);
  json.close_object();
  out += '\n';
}

void write_details(JsonWriter& json, const llm::BackendView& backend) {
  json.key("details").open_object();
  json.key("parent_model").text("");
  json.key("format").text("gguf");
  json.key("family").text(backend.architecture);
  json.key("families").open_array();
  json.text(backend.architecture);
  if (backend.sees_images) json.text("clip");
  json.close_array();
  json.key("parameter_size").text("");
  json.key("quantization_level").text("");
  json.close_object();
}

}  // namespace

void write_entry(JsonWriter& json, const llm::BackendView& backend, WallTime now) {
  json.key("name").text(backend.model);
  json.key("model").text(backend.model);
  json.key("modified_at").text(rfc3339(now));
  json.key("size").number(backend.model_bytes);
  json.key("digest").text("");
  write_details(json, backend);
}

// Each model once, whatever the number of roles that it has.
std::vector<const llm::BackendView*> models_of(std::span<const llm::BackendView> backends) {
  std::vector<const llm::BackendView*> models;
  for (const auto& backend : backends) {
    const auto is_it = [&](const auto* other) { return other->model == backend.model; };
    if (std::ranges::none_of(models, is_it)) models.push_back(&backend);
  }
  return models;
}

void GenerateWriter::begin(std::string&, const llm::AnswerNotes& notes, WallTime) { model_ = notes.model; }

void GenerateWriter::delta(std::string& out, const llm::Delta& piece, WallTime now) {
  if (piece.text.empty() && piece.thinking.empty()) return;
  JsonWriter json(out);
  write_beginning(json, model_, now);
  write_response(json, piece);
  write_more_follows(json, out);
}

void GenerateWriter::end(std::string& out, const llm::Answer& answer, WallTime now) { whole(out, {}, answer, now); }

void GenerateWriter::whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) {
  JsonWriter json(out);
  write_beginning(json, answer.notes.model, now);
  write_response(json, all);
  write_ending(json, out, answer);
}

void GenerateWriter::broken(std::string& out, const Error& error, std::string_view request_id) {
  if (model_named_) return write_error(out, error, request_id);
  out += native::write_error(error, request_id);
  out += '\n';
}

void ChatWriter::begin(std::string&, const llm::AnswerNotes& notes, WallTime) { model_ = notes.model; }

void ChatWriter::delta(std::string& out, const llm::Delta& piece, WallTime now) {
  calls_.append({.text = {}, .thinking = {}, .tool_calls = piece.tool_calls});
  if (piece.text.empty() && piece.thinking.empty()) return;
  JsonWriter json(out);
  write_beginning(json, model_, now);
  write_message(json, {.text = piece.text, .thinking = piece.thinking, .tool_calls = {}});
  write_more_follows(json, out);
}

void ChatWriter::end(std::string& out, const llm::Answer& answer, WallTime now) {
  JsonWriter json(out);
  if (!calls_.tool_calls.empty()) {
    write_beginning(json, model_, now);
    write_message(json, calls_);
    write_more_follows(json, out);
  }
  JsonWriter last(out);
  write_beginning(last, answer.notes.model, now);
  write_message(last, {});
  write_ending(last, out, answer);
}

void ChatWriter::whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) {
  JsonWriter json(out);
  write_beginning(json, answer.notes.model, now);
  write_message(json, all);
  write_ending(json, out, answer);
}

void ChatWriter::broken(std::string& out, const Error& error, std::string_view request_id) {
  write_error(out, error, request_id);
}

void write_moved(std::string& out, Form form, Moved moved, const llm::AnswerNotes& notes, WallTime now) {
  JsonWriter json(out);
  write_beginning(json, notes.model, now);
  if (form == Form::chat) write_message(json, {});
  if (form == Form::generate) write_response(json, {});
  json.key("done").boolean(true);
  json.key("done_reason").text(moved == Moved::in ? "load" : "unload");
  json.key("gbgreg");
  native::write_notes(json, notes);
  json.close_object();
  out += '\n';
}

void write_error(std::string& out, const Error& error, std::string_view request_id) {
  JsonWriter json(out);
  json.open_object();
  json.key("error").text(error.message);
  json.key("code").text(error.code);
  if (!error.details_json.empty()) json.key("details").raw(error.details_json);
  json.key("request_id").text(request_id);
  json.close_object();
  out += '\n';
}

std::string write_running(std::span<const llm::BackendView> backends, WallTime now) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("models").open_array();
  for (const auto* model : models_of(backends)) {
    if (model->state != llm::BackendState::ready) continue;
    json.open_object();
    write_entry(json, *model, now);
    json.key("expires_at").text("0001-01-01T00:00:00Z");  // It stays loaded.
    // Only what the engine itself said is claimed to be on a card.
    const auto& placement = model->placement;
    const bool is_placed = placement.gpu_layers && placement.total_layers.value_or(0) > 0;
    const double share = is_placed ? static_cast<double>(*placement.gpu_layers) / *placement.total_layers : 0;
    json.key("size_vram").number(static_cast<std::int64_t>(static_cast<double>(model->model_bytes) * share));
    json.key("context_length").number(model->context_tokens);
    json.close_object();
  }
  json.close_array();
  json.close_object();
  return out;
}

std::string write_model(const llm::BackendView& backend, WallTime now) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("modelfile").text("# Configured in gbgreg as " + backend.id + ".\n");
  json.key("parameters").text("num_ctx " + std::to_string(backend.context_tokens));
  json.key("template").text("");
  write_details(json, backend);
  json.key("model_info").open_object();
  json.key("general.architecture").text(backend.architecture);
  json.key(backend.architecture + ".context_length").number(backend.context_tokens);
  if (backend.embedding_numbers > 0) {
    json.key(backend.architecture + ".embedding_length").number(backend.embedding_numbers);
  }
  json.close_object();
  json.key("capabilities").open_array();
  if (backend.embeds) {
    json.text("embedding");
  } else {
    json.text("completion");
    json.text("tools");
  }
  if (backend.sees_images) json.text("vision");
  json.close_array();
  json.key("modified_at").text(rfc3339(now));
  json.close_object();
  return out;
}

}  // namespace gbgreg::protocols::ollama

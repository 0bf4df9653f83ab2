#include "protocols/ollama.h"

#include <charconv>
#include <cmath>

#include "protocols/ask_body.h"
#include "protocols/json_writer.h"
#include "protocols/native.h"

namespace gbgreg::protocols::ollama {
namespace {

std::string_view done_reason_name(DoneReason reason) {
  switch (reason) {
    case DoneReason::stop:
      return "stop";
    case DoneReason::length:
      return "length";
    case DoneReason::load:
      return "load";
  }
  return "stop";
}

std::int64_t nanoseconds(double milliseconds) { return std::llround(milliseconds * 1e6); }

}  // namespace

Result<GenerateRequest> parse_generate(std::string_view body, const Limits& limits) {
  auto ask = parse_ask(body, limits, AskForm::prompt);
  if (!ask) return std::unexpected(std::move(ask.error()));

  GenerateRequest generate;
  generate.request = std::move(ask->request);
  generate.model_named = ask->model_named;
  generate.stream = ask->stream.value_or(ask->model_named);
  generate.keep_alive = ask->keep_alive;
  generate.session_id = std::move(ask->session_id);
  const auto& messages = generate.request.messages;
  generate.load_only = messages.back().text.empty() && messages.back().images.empty();
  // Ollama's clients load a model by naming it without a prompt; without a name nothing is asked at all.
  if (generate.load_only && !generate.model_named) {
    return fail(Kind::malformed, "prompt_missing", "Put what you ask into \"prompt\".");
  }
  if (generate.load_only && generate.keep_alive == std::chrono::milliseconds{0}) {
    return fail(Kind::refused, "not_available_yet", "This version keeps its models loaded: it cannot unload one yet.");
  }
  return generate;
}

void write_generate_piece(std::string& out, std::string_view model, std::string_view created_at,
                          std::string_view text) {
  JsonWriter json(out);
  json.open_object();
  json.key("model").text(model);
  json.key("created_at").text(created_at);
  json.key("response").text(text);
  json.key("done").boolean(false);
  json.close_object();
  out += '\n';
}

DoneReason done_reason(llm::StopReason reason) {
  return reason == llm::StopReason::length ? DoneReason::length : DoneReason::stop;
}

void write_generate_final(std::string& out, const GenerateFinal& last) {
  JsonWriter json(out);
  json.open_object();
  json.key("model").text(last.model);
  json.key("created_at").text(last.created_at);
  json.key("response").text(last.response);
  json.key("done").boolean(true);
  json.key("done_reason").text(done_reason_name(last.reason));
  // Nothing was read or made when a model was only loaded, and Ollama then leaves the figures out.
  if (last.reason == DoneReason::stop || last.reason == DoneReason::length) {
    json.key("total_duration").number(last.total.count());
    json.key("load_duration").number(last.load.count());
    json.key("prompt_eval_count").number(last.usage.prompt_tokens);
    json.key("prompt_eval_duration").number(nanoseconds(last.usage.prompt_ms));
    json.key("eval_count").number(last.usage.completion_tokens);
    json.key("eval_duration").number(nanoseconds(last.usage.generation_ms));
  }
  if (last.notes != nullptr) {
    json.key("gbgreg");
    native::write_notes(json, *last.notes);
  }
  json.close_object();
  out += '\n';
}

void write_generate_error(std::string& out, const Error& error, std::string_view request_id, bool model_named) {
  if (!model_named) {
    out += native::write_error(error, request_id);
    out += '\n';
    return;
  }
  JsonWriter json(out);
  json.open_object();
  json.key("error").text(error.message);
  json.key("code").text(error.code);
  json.key("request_id").text(request_id);
  json.close_object();
  out += '\n';
}

}  // namespace gbgreg::protocols::ollama

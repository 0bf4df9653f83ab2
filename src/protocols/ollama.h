// Ollama's dialect: POST /api/generate, which is Ollama's route and ours at once.
//
// A client that names a model speaks as Ollama's do: it gets a stream of JSON lines unless it asks otherwise, and an
// error inside that stream is Ollama's {"error":"text"}. A client that names none speaks natively: one whole answer
// unless it asks for a stream, and errors in the native shape. Pure; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "protocols/options.h"

namespace gbgreg::protocols::ollama {

struct GenerateRequest {
  llm::Request request;      // Its id and deadline are left to the service that takes it.
  bool model_named = false;  // The client gave `model`: Ollama's form.
  bool stream = false;
  bool load_only = false;  // An empty prompt and no image: the model is to be loaded.
  // How long the model may stay loaded without work; negative is for ever. Accepted and checked, not yet acted on.
  std::optional<std::chrono::milliseconds> keep_alive = {};
  std::string session_id = {};
};

// Errors, each naming the field at fault:
//   malformed    invalid_json, invalid_field, thinking_not_supported
//   too_large    body_too_large, text_too_large, image_too_large, too_many_images
//   refused      image_not_understood
//   unsupported  not_available_yet (upload_ids, project_id), field_not_supported (raw, suffix, template)
// Left alone: unknown fields and options, and `context`, Ollama's deprecated list of tokens, which means nothing to
// another model than the one that made it. A field given twice counts as it was given last; null is as absent.
Result<GenerateRequest> parse_generate(std::string_view body, const Limits& limits);

// One line of the stream. `text` is never empty. Appends; no allocation when `out` has room.
void write_generate_piece(std::string& out, std::string_view model, std::string_view created_at, std::string_view text);

enum class DoneReason : std::uint8_t { stop, length, load };
DoneReason done_reason(llm::StopReason reason);

struct GenerateFinal {
  std::string_view model;
  std::string_view created_at;
  std::string_view response = {};  // The whole text when the answer was not streamed; empty in a stream's last line.
  DoneReason reason = DoneReason::stop;
  llm::Usage usage = {};
  std::chrono::nanoseconds total{0};
  std::chrono::nanoseconds load{0};         // Time spent waiting for the model to be loaded.
  const llm::AnswerNotes* notes = nullptr;  // The `gbgreg` block; absent from the answer when null.
};
// The stream's last line, or the whole answer, with its line feed.
void write_generate_final(std::string& out, const GenerateFinal& last);

// The last line of a stream that broke. Ollama's libraries throw what they find in `error`, and only a string reads
// well there, so a client that named a model gets {"error":"sentence","code":…,"request_id":…}; one that did not gets
// the native {"error":{"code":…,"message":…,"request_id":…}}.
void write_generate_error(std::string& out, const Error& error, std::string_view request_id, bool model_named);

}  // namespace gbgreg::protocols::ollama

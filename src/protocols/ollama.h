// Ollama's dialect: POST /api/generate, which is Ollama's route and ours at once, and POST /api/chat.
//
// A client that names a model speaks as Ollama's do: it gets a stream of JSON lines unless it asks otherwise, and
// errors are Ollama's {"error":"text"}. A client of /api/generate that names none speaks natively: one whole answer
// unless it asks for a stream, and errors in the native shape. Pure; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "protocols/answer_writer.h"
#include "protocols/options.h"

namespace gbgreg::protocols::ollama {

struct Asked {
  llm::Request request;      // Its id and deadline are left to the service that takes it.
  bool model_named = false;  // The client gave `model`: Ollama's form.
  bool stream = false;
  bool load_only = false;  // Nothing is asked: the model is to be loaded, or, with a keep_alive of zero, unloaded.
  // How long the model may stay loaded without work; negative is for ever. Only zero is acted on: for all else the
  // owner's own word counts.
  std::optional<std::chrono::milliseconds> keep_alive = {};
  std::string session_id = {};
  std::vector<std::string> upload_ids = {};  // As AskBody's: to be put into the request before it is asked.

  bool leaves_at_once() const { return keep_alive == std::chrono::milliseconds{0}; }
};

// Errors, each naming the field at fault:
//   malformed  invalid_json, invalid_field, prompt_missing
//   too_large  body_too_large, text_too_large, image_too_large, too_many_images
//   refused    image_not_understood, not_available_yet (project_id), field_not_supported (raw, suffix,
//              template)
// Left alone: unknown fields and options, and `context`, Ollama's deprecated list of tokens, which means nothing to
// another model than the one that made it. A field given twice counts as it was given last; null is as absent.
Result<Asked> parse_generate(std::string_view body, const Limits& limits);
Result<Asked> parse_chat(std::string_view body, const Limits& limits);

// The model that POST /api/show asks for, by `model` or by its older name `name`. Errors: malformed.
Result<std::string> parse_model(std::string_view body, const Limits& limits);

// Answers to /api/generate.
class GenerateWriter final : public AnswerWriter {
 public:
  explicit GenerateWriter(bool model_named) : model_named_(model_named) {}
  std::string_view stream_type() const override { return "application/x-ndjson"; }
  void begin(std::string& out, const llm::AnswerNotes& notes, WallTime now) override;
  void delta(std::string& out, const llm::Delta& piece, WallTime now) override;
  void end(std::string& out, const llm::Answer& answer, WallTime now) override;
  void broken(std::string& out, const Error& error, std::string_view request_id) override;
  void whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) override;

 private:
  bool model_named_;
  std::string model_;
};

// Answers to /api/chat. A tool call is written when it is complete, since its arguments are an object here.
class ChatWriter final : public AnswerWriter {
 public:
  std::string_view stream_type() const override { return "application/x-ndjson"; }
  void begin(std::string& out, const llm::AnswerNotes& notes, WallTime now) override;
  void delta(std::string& out, const llm::Delta& piece, WallTime now) override;
  void end(std::string& out, const llm::Answer& answer, WallTime now) override;
  void broken(std::string& out, const Error& error, std::string_view request_id) override;
  void whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) override;

 private:
  std::string model_;
  llm::Delta calls_;  // The tool calls so far.
};

// What is answered when a model was only loaded, or unloaded; a chat's answer has a `message`.
enum class Form : std::uint8_t { generate, chat };
enum class Moved : std::uint8_t { in, out };
void write_moved(std::string& out, Form form, Moved moved, const llm::AnswerNotes& notes, WallTime now);

// {"error":"sentence","code":…,"details"?,"request_id":…} and a line feed. Ollama's libraries show what stands in
// `error`, and only a string reads well there.
void write_error(std::string& out, const Error& error, std::string_view request_id);

// GET /api/ps and POST /api/show, out of what the fleet shows; what is on the disk: stored_models.h.
std::string write_running(std::span<const llm::BackendView> backends, WallTime now);
std::string write_model(const llm::BackendView& backend, WallTime now);

}  // namespace gbgreg::protocols::ollama

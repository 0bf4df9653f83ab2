// OpenAI's newer dialect: POST /v1/responses.
//
// A conversation is a list of items here, and so is an answer: messages, thoughts, calls of functions and what they
// gave. The hub knows messages only, so what an assistant thought, said and called in one go is put together on the way
// in (openai_responses_input.h) and taken apart on the way out. A worker has this dialect too, but a stream of it that
// breaks OpenAI's own client, so nothing passes through.
//
// Nothing of a conversation is kept: what would need that (previous_response_id, conversation, background) is refused
// in so many words, and every answer says `"store":false`. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "protocols/answer_writer.h"
#include "protocols/json_writer.h"
#include "protocols/options.h"

namespace gbgreg::protocols::openai_responses {

// What an answer says again of what was asked. The texts ending in _json are JSON in one line.
struct Echo {
  std::optional<std::string> instructions = {};
  std::string tools_json = "[]";
  std::string tool_choice_json = R"("auto")";
  std::string format_json = R"({"type":"text"})";
  std::string metadata_json = "{}";
  std::optional<std::string> effort = {};   // How hard to think …
  std::optional<std::string> summary = {};  // … and how to sum that up.
  std::optional<double> temperature = {}, top_p = {};
  std::optional<int> output_tokens_max = {};
  bool parallel_tool_calls = true;
};

// An uploaded file that is to stand in a message, which the caller has to fetch.
struct NamedFile {
  std::string id;           // As OpenAI's clients know it: openai_files.h.
  std::size_t message = 0;  // Of Request::messages.
  std::size_t offset = 0;   // In that message's text.
  std::string field;        // Where it is named, for errors: "input[0].content[1].file_id".
};

struct Asked {
  llm::Request request;
  bool stream = false;
  Echo echo;
  std::vector<NamedFile> files = {};  // In the order of their places.
};

// Errors, each naming the field at fault: malformed (invalid_json, invalid_field; not_kept for what would need a
// conversation to be kept; an image that is not a data URL, since nothing a client names is fetched; a tool that is not
// a function of the client's own), too_large, refused (image_not_understood). Passed over: unknown fields, and what
// changes nothing here (store, truncation, include, service_tier, user and their like).
Result<Asked> parse_response(std::string_view body, const Limits& limits);

// One item of an answer's output.
struct OutputItem {
  enum class Form : std::uint8_t { thought, summary, message, call };
  enum class Status : std::uint8_t { in_progress, completed, incomplete };
  Form form = Form::message;
  Status status = Status::in_progress;
  std::string id = {};
  std::string text = {};  // What was thought or said, or the arguments of the call.
  std::string call_id = {}, name = {};
  int call_index = -1;  // As the worker counts its calls.
};

// Events with names, and with numbers without a gap; the last one says all of the answer once more, so the writer keeps
// it while it is made: callers bound it. A thought goes out as it is, or as its own summary when one was asked for,
// since that is what clients then show.
class ResponseWriter final : public AnswerWriter {
 public:
  // `created` is when the request came.
  ResponseWriter(Echo echo, WallTime created) : echo_(std::move(echo)), created_(created) {}

  std::string_view stream_type() const override { return "text/event-stream; charset=utf-8"; }
  void begin(std::string& out, const llm::AnswerNotes& notes, WallTime now) override;
  void delta(std::string& out, const llm::Delta& piece, WallTime now) override;
  void end(std::string& out, const llm::Answer& answer, WallTime now) override;
  void broken(std::string& out, const Error& error, std::string_view request_id) override;
  void whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) override;

 private:
  using Form = OutputItem::Form;
  using Status = OutputItem::Status;
  struct Outcome;

  OutputItem& add_item(Form form, const llm::ToolCallPiece* call);
  OutputItem& open(std::string& out, Form form, const llm::ToolCallPiece* call);
  void grow(std::string& out, OutputItem& item, std::string_view text);
  void close(std::string& out, Status status);
  Form form_of_thoughts() const { return echo_.summary ? Form::summary : Form::thought; }
  void write_response(JsonWriter& json, const Outcome& outcome) const;

  Echo echo_;
  WallTime created_;
  llm::AnswerNotes notes_;
  std::vector<OutputItem> items_;
  bool is_open_ = false;  // The last item still grows; the others are complete.
  int sequence_number_ = 0;
};

}  // namespace gbgreg::protocols::openai_responses

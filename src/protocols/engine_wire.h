// The wire of a llama-server worker: what it is asked on POST /v1/chat/completions, and its answer as server-sent
// events.
//
// The worker is not trusted: its lines, its events and its whole answer are bounded, and what is not understood is an
// error of the backend, with what was seen in Error::detail for the log and nothing of it in the message.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/server_fields.h"

namespace gbgreg::protocols::engine_wire {

struct Limits {
  std::size_t line_bytes_max = 1024 * 1024;
  std::size_t answer_bytes_max = 256 * 1024 * 1024;
  std::size_t error_bytes_max = 64 * 1024;  // What is looked at of an error body.
};

// The body of POST /v1/chat/completions for this request (engine_request.cc). Pure; any thread.
// For an outside server: its name of the model, and only the fields that it takes.
struct ChatServer {
  std::string_view model = {};  // Empty is not said.
  Takes takes = Takes::engine;
};
std::string write_chat_request(const llm::Request& request, bool stream = true, const ChatServer& server = {});

// For requests that are passed on in the worker's own dialect: the messages as an array, the fields about tools behind
// the `"name":value` pairs that `fields` holds already, and the value of the field that says whether to think.
void write_messages(std::string& out, std::span<const llm::Message> messages);
void write_tool_fields(std::string& fields, const llm::Request& request);
std::string thinking_value(bool think);

// Reads the streamed answer to one request. One task uses it at a time, on one thread at a time.
//
//   StreamReader reader;
//   llm::Delta delta;
//   while (!reader.done()) {
//     … read the next piece of the body; leave the loop at its end …
//     delta.clear();
//     auto fed = reader.feed(piece, delta);
//     if (!delta.empty()) … hand it on: what came before an error is still part of the answer …
//     if (!fed) return std::unexpected(fed.error());
//   }
//   return reader.finish();
class StreamReader {
 public:
  explicit StreamReader(const Limits& limits = {});

  // Takes the next bytes of the body, cut anywhere, and appends what is new of the answer to `delta`: whole UTF-8
  // characters only, since an event is read when its line is complete (llama-server holds back a character that it has
  // begun), and what is not UTF-8 becomes U+FFFD. Once it has failed it fails again in the same way. Errors:
  // backend_failed (garbage, a line or an answer without end); what read_error() says for an error event.
  Result<void> feed(std::string_view bytes, llm::Delta& delta);

  // True after "[DONE]": nothing follows, though the worker may be slow to close the body.
  bool done() const { return done_; }

  // To be called at the end of the body or when done(): how it ended and what it took.
  // Errors: backend_failed when the worker stopped in the middle, or what feed() failed with.
  Result<llm::Completion> finish();

 private:
  Result<void> take_line(std::string_view line, llm::Delta& delta);
  Result<void> take_event(std::string_view json, llm::Delta& delta);

  Limits limits_;
  std::string rest_;  // The line that is not yet complete.
  std::size_t bytes_taken_ = 0;
  bool finished_ = false;  // A finish reason was seen.
  bool done_ = false;
  bool failed_ = false;
  Error failure_ = {};
  llm::Completion completion_ = {};
};

// The figures of one event, as far as it has any, into `completion`. Errors: backend_failed; what read_error() says
// when it is an error event.
Result<void> read_figures(std::string_view json, const Limits& limits, llm::Completion& completion);

// {"input_tokens":12}, the answer to POST /v1/chat/completions/input_tokens. Errors: backend_failed.
Result<int> read_count(std::string_view body);

struct Answer {
  llm::Delta delta = {};
  llm::Completion completion = {};
};
// The body of an answer that was not streamed. Errors: as StreamReader.
Result<Answer> read_answer(std::string_view body, const Limits& limits = {});

// What a status other than 200 and its body mean:
//   malformed       prompt_too_long (its sentence names the context's size when the worker does); any other 4xx is
//                   refused_by_model
//   unavailable     model_loading (503)
//   backend_failed  everything else
// Pure; any thread. Takes any bytes.
Error read_error(int status, std::string_view body, const Limits& limits = {});

}  // namespace gbgreg::protocols::engine_wire

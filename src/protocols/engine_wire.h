// The wire of a llama-server worker: what it is asked on POST /v1/chat/completions, and its answer as server-sent
// events.
//
// The worker is not trusted: its lines, its events and its whole answer are bounded, and what is not understood is an
// error of the backend, with what was seen in Error::detail for the log and nothing of it in the message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/llm.h"

namespace gbgreg::protocols::engine_wire {

struct Limits {
  std::size_t line_bytes_max = 1024 * 1024;
  std::size_t answer_bytes_max = 256 * 1024 * 1024;
  std::size_t error_bytes_max = 64 * 1024;  // What is looked at of an error body.
};

// The body of POST /v1/chat/completions for this request. Pure; any thread.
std::string write_chat_request(const llm::Request& request, bool stream = true);

// Reads the streamed answer to one request. One task uses it at a time, on one thread at a time.
//
//   StreamReader reader;
//   std::string text;
//   while (!reader.done()) {
//     … read the next piece of the body; leave the loop at its end …
//     text.clear();
//     auto fed = reader.feed(piece, text);
//     if (!text.empty()) … hand it on: text before an error is still part of the answer …
//     if (!fed) return std::unexpected(fed.error());
//   }
//   return reader.finish();
class StreamReader {
 public:
  explicit StreamReader(const Limits& limits = {});

  // Takes the next bytes of the body, cut anywhere, and appends the answer's new text to `text`: whole UTF-8 characters
  // only, since an event is read when its line is complete (llama-server holds back a character that it has begun), and
  // what is not UTF-8 becomes U+FFFD. Once it has failed it fails again in the same way.
  // Errors: backend_failed (garbage, a line or an answer without end); what read_error() says for an error event.
  Result<void> feed(std::string_view bytes, std::string& text);

  // True after "[DONE]": nothing follows, though the worker may be slow to close the body.
  bool done() const { return done_; }

  // To be called at the end of the body or when done(): how it ended and what it took.
  // Errors: backend_failed when the worker stopped in the middle, or what feed() failed with.
  Result<llm::Completion> finish();

 private:
  Result<void> take_line(std::string_view line, std::string& text);
  Result<void> take_event(std::string_view json, std::string& text);

  Limits limits_;
  std::string rest_;  // The line that is not yet complete.
  std::size_t bytes_taken_ = 0;
  bool finished_ = false;  // A finish reason was seen.
  bool done_ = false;
  bool failed_ = false;
  Error failure_ = {};
  llm::Completion completion_ = {};
};

struct Answer {
  std::string text;
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

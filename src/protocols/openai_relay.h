// The answers of a worker on their way to a client of the same dialect: its own bytes, but for what must change.
//
// A stream is looked at event by event and not parsed: an event costs a search for a few names. Its figures and its
// finish reason are noted in passing. Steady state allocates nothing (openai_relay_test.cc counts). Pure; one task at a
// time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/openai_logprobs.h"

namespace gbgreg::protocols::openai {

// What the worker's bytes are changed by.
struct RelayOptions {
  bool include_usage = false;        // Keep the last chunk, which has the figures and no choices.
  bool is_chat = true;               // Else the older completions, whose choices have a text and no message.
  std::optional<int> logprobs = {};  // Of a completion: how many of the likeliest tokens were asked for.
  std::int64_t created = 0;          // Seconds: the same on every event of an answer.
  std::size_t line_bytes_max = 1024 * 1024;
  std::size_t answer_bytes_max = 256 * 1024 * 1024;
};

struct Places;

class StreamRelay {
 public:
  explicit StreamRelay(const RelayOptions& options) : options_(options), logprobs_(options.logprobs.value_or(0)) {}

  // Takes the next bytes, cut anywhere, and appends to `out` the events that are complete.
  // Errors: backend_failed (garbage, a line or an answer without end); what engine_wire::read_error() says of an error
  // event. Once it has failed it fails again in the same way.
  Result<void> feed(std::string_view bytes, std::string& out);

  // After the last byte. Errors: backend_failed when the answer is not whole.
  Result<llm::Completion> finish();

 private:
  Result<void> take_line(std::string_view line, std::string& out);
  Result<void> take_event(std::string_view json, std::string& out);
  Result<void> take_chunk(std::string_view json, const Places& places, std::string& out);
  Result<void> take_last_text(std::string_view json, std::string& out);

  RelayOptions options_;
  OlderLogprobs logprobs_;
  std::string rest_;  // The line that is not yet complete.
  std::size_t bytes_taken_ = 0;
  bool finished_ = false;  // A finish reason was seen.
  bool done_ = false;
  Result<void> failure_ = {};
  llm::Completion completion_ = {};
};

// A whole answer. Appends the body for the client to `out`. Errors: backend_failed, or what the worker's error says.
Result<llm::Completion> relay_whole(std::string_view body, const RelayOptions& options, std::string& out);

// The last event of a stream that broke off.
void write_broken(std::string& out, const Error& error);

}  // namespace gbgreg::protocols::openai

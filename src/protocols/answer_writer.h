// How a dialect writes the answer to a question: whole, or piece by piece while it is made.
//
// One object writes one answer; each dialect derives its own. Pure; one task uses it at a time.
#pragma once

#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"

namespace gbgreg::protocols {

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // ---- Piece by piece. Each appends to `out` whole lines or events, or nothing at all.

  // "application/x-ndjson", "text/event-stream" …
  virtual std::string_view stream_type() const = 0;
  // Before the first piece.
  virtual void begin(std::string& out, const llm::AnswerNotes& notes, WallTime now) = 0;
  virtual void delta(std::string& out, const llm::Delta& piece, WallTime now) = 0;
  virtual void end(std::string& out, const llm::Answer& answer, WallTime now) = 0;
  // The answer broke off after it had begun: the last that the client reads.
  virtual void broken(std::string& out, const Error& error, std::string_view request_id) = 0;

  // ---- Whole: the body of type application/json.
  virtual void whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) = 0;
};

}  // namespace gbgreg::protocols

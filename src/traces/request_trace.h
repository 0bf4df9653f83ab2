// One request as its trace tells it: a span for the whole, and one for each wait for a slot and each question to a
// backend. Where nothing is recorded it only has the header fields that are passed on.
//
// Belongs to the request's task.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/trace.h"
#include "traces/context.h"
#include "traces/span.h"

namespace gbgreg::traces {

// What is known of a request when it is over.
struct EndedRequest {
  std::string_view method;  // Of its route, as the pattern is; both empty when there is none.
  std::string_view route;
  int status = 0;
  std::string_view request_id;
  std::string_view key_id;  // Never its secret.
  std::string_view error;   // Its code; empty when all went well.
};

class RequestTrace final : public llm::Trace {
 public:
  // Only passes on what was sent, word for word.
  explicit RequestTrace(std::string fields) : fields_(std::move(fields)) {}
  // `sink` is null when it is not recorded; it and the clock outlive this. `sent` is what the client sent, if it was
  // anything.
  RequestTrace(SpanSink* sink, const Clock& clock, const Context& context, const std::optional<Sent>& sent);

  void waited(const llm::AnswerNotes& chosen, SteadyTime since, std::string_view error) override;
  void asks(const llm::AnswerNotes& chosen) override;
  void told(const llm::Usage& usage, std::string_view error) override;
  std::string_view fields() const override { return fields_; }

  // The request is over: hands in what was recorded. Once.
  void end(const EndedRequest& ended);

 private:
  WallTime at(SteadyTime time) const;
  Span& begin(std::string name, SpanKind kind, SteadyTime since);
  void end_call(std::string_view error);

  SpanSink* sink_ = nullptr;
  const Clock* clock_ = nullptr;  // Set where something is recorded.
  Context context_;               // Its span is that of the whole request.
  std::string state_;
  std::string fields_;
  SteadyTime began_{};
  WallTime began_at_{};
  std::vector<Span> spans_;  // The first is that of the whole request.
  bool is_calling_ = false;  // The last one is a call that is under way.
};

}  // namespace gbgreg::traces

// What is told of a request on its way to a model, for whoever looks at traces; traces/ makes spans of it. A caller has
// one (llm.h), and the thread that has the caller has it.
#pragma once

#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"

namespace gbgreg::llm {

class Trace {
 public:
  virtual ~Trace() = default;

  // It has waited since then for a slot of the backend that was chosen; without one `error` is the code that says why.
  virtual void waited(const AnswerNotes& chosen, SteadyTime since, std::string_view error) = 0;
  // That backend is asked from now on …
  virtual void asks(const AnswerNotes& chosen) = 0;
  // … and has answered, or failed with this code. A request that ends before that was cancelled.
  virtual void told(const Usage& usage, std::string_view error) = 0;

  // The header fields for a backend that is asked on its behalf, each with its end of line; empty when there are none.
  // The view holds until the next call of the others.
  virtual std::string_view fields() const = 0;
};

// Those of a caller that may be nobody.
inline std::string_view trace_fields(const Caller* caller) {
  const Trace* trace = caller != nullptr ? caller->trace() : nullptr;
  return trace != nullptr ? trace->fields() : std::string_view{};
}

}  // namespace gbgreg::llm

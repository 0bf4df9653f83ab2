// Questions to a model, in our own dialect and Ollama's: POST /api/generate, /api/chat and /api/route. Bytes to a
// request, an answer to bytes; the story is services/generate.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "protocols/ollama.h"
#include "services/generate.h"

namespace gbgreg::http {

class AskHandlers {
 public:
  // All outlive this.
  AskHandlers(services::Generate& generate, const Clock& clock, JsonReading& json);

  Task<Result<void>> generate(Call& call);
  Task<Result<void>> chat(Call& call);
  Task<Result<void>> route(Call& call);

 private:
  Task<Result<void>> load(Call& call, const protocols::ollama::Asked& asked, protocols::ollama::Form form);

  services::Generate& generate_;
  const Clock& clock_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

// OpenAI's questions: POST /v1/chat/completions and POST /v1/completions.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/generate.h"

namespace gbgreg::http {

class OpenAiHandlers {
 public:
  // All outlive this.
  OpenAiHandlers(services::Generate& generate, const Clock& clock, JsonReading& json)
      : generate_(generate), clock_(clock), json_(json) {}

  Task<Result<void>> chat(Call& call);
  Task<Result<void>> completion(Call& call);

 private:
  services::Generate& generate_;
  const Clock& clock_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

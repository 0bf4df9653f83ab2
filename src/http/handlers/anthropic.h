// Anthropic's questions: POST /v1/messages and POST /v1/messages/count_tokens.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/generate.h"

namespace gbgreg::http {

class AnthropicHandlers {
 public:
  // All outlive this.
  AnthropicHandlers(services::Generate& generate, const Clock& clock, JsonReading& json)
      : generate_(generate), clock_(clock), json_(json) {}

  Task<Result<void>> messages(Call& call);
  Task<Result<void>> count_tokens(Call& call);

 private:
  services::Generate& generate_;
  const Clock& clock_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

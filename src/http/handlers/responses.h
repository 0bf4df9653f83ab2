// OpenAI's responses: POST /v1/responses, and the routes of responses that would be kept.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/generate.h"
#include "services/intake.h"

namespace gbgreg::http {

class ResponseHandlers {
 public:
  // All outlive this. `intake` has the files that a request may name.
  ResponseHandlers(services::Generate& generate, services::Intake& intake, const Clock& clock, JsonReading& json)
      : generate_(generate), intake_(intake), clock_(clock), json_(json) {}

  Task<Result<void>> create(Call& call);
  // Whatever is asked of a response that was given before: it was not kept.
  Task<Result<void>> none(Call& call);

 private:
  services::Generate& generate_;
  services::Intake& intake_;
  const Clock& clock_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

// Which models there are: OpenAI's GET /v1/models and /v1/models/{id}, Ollama's GET /api/tags, GET /api/ps, POST
// /api/show and GET /.
#pragma once

#include "core/core.h"
#include "fleet/fleet.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/models.h"

namespace gbgreg::http {

class ModelHandlers {
 public:
  // All outlive this.
  ModelHandlers(const fleet::Fleet& fleet, services::Models& stored, const Clock& clock, JsonReading& json);

  Task<Result<void>> openai_list(Call& call);
  Task<Result<void>> openai_one(Call& call);
  Task<Result<void>> tags(Call& call);
  Task<Result<void>> running(Call& call);
  Task<Result<void>> show(Call& call);
  Task<Result<void>> root(Call& call);

 private:
  const fleet::Fleet& fleet_;
  services::Models& stored_;
  JsonReading& json_;
  WallTime started_;  // What OpenAI calls a model's creation.
};

}  // namespace gbgreg::http

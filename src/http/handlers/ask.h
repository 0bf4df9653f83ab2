// Questions to a model, in our own dialect and Ollama's: POST /api/generate, /api/chat and /api/route. Bytes to a
// request, an answer to bytes; the story is services/generate.
#pragma once

#include <string>
#include <vector>

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "protocols/answer_writer.h"
#include "protocols/ollama.h"
#include "services/attached.h"
#include "services/fleet_admin.h"
#include "services/generate.h"
#include "services/intake.h"

namespace gbgreg::http {

class AskHandlers {
 public:
  // All outlive this. `intake` has the uploads that a question may name.
  AskHandlers(services::Generate& generate, services::FleetAdmin& admin, services::Intake& intake, const Clock& clock,
              JsonReading& json);

  Task<Result<void>> generate(Call& call);
  Task<Result<void>> chat(Call& call);
  Task<Result<void>> route(Call& call);

 private:
  // Of one that asks nothing: loads the model, or sends it away.
  Task<Result<void>> move(Call& call, const protocols::ollama::Asked& asked, protocols::ollama::Form form);
  Task<Result<void>> answer(Call& call, protocols::ollama::Asked asked, JsonBody& body,
                            protocols::AnswerWriter& writer);
  Task<Result<services::Attached>> attach(std::vector<std::string> upload_ids, JsonBody& body, llm::Request& request);

  services::Generate& generate_;
  services::FleetAdmin& admin_;
  services::Intake& intake_;
  const Clock& clock_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

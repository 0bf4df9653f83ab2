// POST /api/generate and POST /api/route: bytes to a request, an answer to bytes. The story is services/generate.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/options.h"
#include "protocols/ollama.h"
#include "services/generate.h"

namespace gbgreg::http {

class AskHandlers {
 public:
  AskHandlers(services::Generate& generate, const Clock& clock, const Options& options);

  Task<Result<void>> generate(Call& call);
  Task<Result<void>> route(Call& call);

 private:
  Task<Result<void>> load(Call& call, const protocols::ollama::GenerateRequest& asked);
  Task<Result<void>> answer_whole(Call& call, protocols::ollama::GenerateRequest asked);
  Task<Result<void>> answer_stream(Call& call, protocols::ollama::GenerateRequest asked);

  services::Generate& generate_;
  const Clock& clock_;
  std::uint64_t json_bytes_max_;
  BodyBudget json_budget_;
  protocols::Limits limits_;
};

}  // namespace gbgreg::http

#include "http/handlers/openai.h"

#include "http/relaying.h"

namespace gbgreg::http {

Task<Result<void>> OpenAiHandlers::chat(Call& call) { return relay(call, json_, generate_, clock_, Relayed::chat); }

Task<Result<void>> OpenAiHandlers::completion(Call& call) {
  return relay(call, json_, generate_, clock_, Relayed::completion);
}

}  // namespace gbgreg::http

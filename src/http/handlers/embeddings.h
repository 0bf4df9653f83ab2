// Texts to vectors: OpenAI's POST /v1/embeddings, Ollama's POST /api/embed and its older form POST /api/embeddings.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "protocols/embeddings_writer.h"
#include "protocols/ollama_embeddings.h"
#include "services/embed.h"
#include "services/fleet_admin.h"

namespace gbgreg::http {

class EmbeddingHandlers {
 public:
  // All outlive this.
  EmbeddingHandlers(services::Embed& embed, services::FleetAdmin& admin, JsonReading& json)
      : embed_(embed), admin_(admin), json_(json) {}

  Task<Result<void>> openai(Call& call);
  Task<Result<void>> embed(Call& call);
  Task<Result<void>> embeddings(Call& call);

 private:
  Task<Result<void>> ollama(Call& call, protocols::ollama::EmbedForm form);
  Task<Result<void>> answer(Call& call, JsonBody& body, llm::EmbedRequest request, protocols::EmbeddingsWriter& writer);

  services::Embed& embed_;
  services::FleetAdmin& admin_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

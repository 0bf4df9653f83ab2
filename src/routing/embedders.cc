#include "routing/embedders.h"

#include <algorithm>
#include <string>
#include <vector>

#include "routing/candidates.h"
#include "routing/policy.h"

namespace gbgreg::routing {
namespace {

std::vector<std::string_view> embedding_models(std::span<const llm::BackendView> backends) {
  std::vector<std::string_view> names;
  for (const auto& backend : backends) {
    if (backend.embeds && std::ranges::find(names, backend.model) == names.end()) names.push_back(backend.model);
  }
  return names;
}

std::unexpected<Error> no_embedding_model() {
  return fail(Kind::refused, "no_embedding_model",
              "No model here makes embeddings: the owner has to configure a role with `embeddings: true` and the GGUF "
              "file of an embedding model.");
}

std::unexpected<Error> model_cannot_embed(std::string_view asked, std::span<const std::string_view> embedders) {
  std::string list;
  for (const std::string_view name : embedders) list.append(list.empty() ? "" : ", ").append(quoted(name));
  return std::unexpected(
      Error{.kind = Kind::malformed,
            .code = "model_cannot_embed",
            .message = quoted(asked) + " makes no embeddings: ask " + list + ", or \"auto\".",
            .details_json = R"({"field":"model","embedding_models":)" + json_names(embedders) + "}"});
}

Result<llm::Decision> decided(const llm::BackendView& chosen, std::string reason) {
  return llm::Decision{
      .role = chosen.role, .model = chosen.model, .backend = chosen.id, .confidence = 1, .reason = std::move(reason)};
}

}  // namespace

Result<llm::Decision> choose_embedder(std::string_view asked_model, std::span<const llm::BackendView> backends) {
  const bool was_asked = !asked_model.empty() && asked_model != "auto";
  const auto is_it = [&](const llm::BackendView& backend) { return is_asked_for(backend, asked_model); };
  if (was_asked && std::ranges::none_of(backends, is_it)) return model_not_found(asked_model, backends);
  const auto embedders = embedding_models(backends);
  if (embedders.empty()) return no_embedding_model();
  const auto* found = readiest(backends, [&](const llm::BackendView& backend) {
    return backend.embeds && (was_asked ? is_it(backend) : backend.model == embedders.front());
  });
  if (found == nullptr) return model_cannot_embed(asked_model, embedders);
  return decided(*found, was_asked ? "The request asks for " + quoted(asked_model) + "."
                                   : "It is the first model here that makes embeddings.");
}

}  // namespace gbgreg::routing

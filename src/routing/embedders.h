// The choice of a model that makes vectors of texts. Pure; any thread.
//
// Vectors of two models cannot be compared, so neither the texts nor the state of the workers have a say in it: a
// client that asks for "auto" gets the same model each time, or an error.
#pragma once

#include <span>
#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"

namespace gbgreg::routing {

// `asked_model` is "auto" or empty (the first that is configured), a role's name, or a model's. Of several backends of
// one model the readiest is chosen.
// Errors, with the names of those that embed in their details:
//   not_found  model_not_found: the details have all known names
//   malformed  model_cannot_embed: the asked model does not
//   refused    no_embedding_model: none here does
Result<llm::Decision> choose_embedder(std::string_view asked_model, std::span<const llm::BackendView> backends);

}  // namespace gbgreg::routing

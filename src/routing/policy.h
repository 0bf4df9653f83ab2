// The choice of a model. Pure; any thread.
#pragma once

#include <span>
#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "routing/features.h"

namespace gbgreg::routing {

// `asked_model` is "auto" or empty (the rules choose a role), a role's name (its best backend), or a model's name (that
// model; a name without a tag means ":latest"). The picture `backends` may be stale: the choice is a proposal, the
// lease is the truth. With "auto" a role whose backends have all failed, or do not exist, gives way to the next best
// one. Errors:
//   not_found    model_not_found, with the known roles and models in details
//   malformed    model_cannot_see: there are images and the asked model does not take any
//   refused      no_vision_model: there are images and no model here sees
//   unavailable  no_model: there is none at all
// A model that was asked for by name is chosen even when it has failed: the lease says what is wrong with it.
Result<llm::Decision> choose(const Features& features, std::string_view asked_model,
                             std::span<const llm::BackendView> backends);

}  // namespace gbgreg::routing

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
//   malformed    model_only_embeds: the asked model makes embeddings, and nothing else (embedders.h chooses those)
// A model that was asked for by name is chosen even when it has failed: the lease says what is wrong with it.
// Several backends that are equally good share the work by `dice` (candidates.h).
// A brief decision says what was chosen and why; signals, prediction and alternatives are only in a full one, which
// takes several times as long to make.
enum class Detail : std::uint8_t { brief, full };
Result<llm::Decision> choose(const Features& features, std::string_view asked_model,
                             std::span<const llm::BackendView> backends, Detail detail = Detail::full,
                             std::uint64_t dice = 0);

// Whether a model or a role is asked for, so that nothing is to be chosen.
bool is_asked_by_name(std::string_view asked);

// Whether a request that asks for `asked` means the model of this name: a name without a tag means `:latest`.
bool is_named(std::string_view model, std::string_view asked);

// Whether the name is this backend's role or model.
bool is_asked_for(const llm::BackendView& backend, std::string_view asked);

// The error for a name that is neither a model nor a role; its details list those that are.
std::unexpected<Error> model_not_found(std::string_view asked, std::span<const llm::BackendView> backends);

}  // namespace gbgreg::routing

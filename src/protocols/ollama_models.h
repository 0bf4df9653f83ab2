// How Ollama's lists tell of what the fleet shows: for the writers of this room.
#pragma once

#include <span>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::ollama {

// Each model once, whatever the number of roles that it has.
std::vector<const llm::BackendView*> models_of(std::span<const llm::BackendView> backends);
// The fields of a list's entry, in an object that is open.
void write_entry(JsonWriter& json, const llm::BackendView& backend, WallTime now);

}  // namespace gbgreg::protocols::ollama

// What the two choices of routing have in common: the readiest of the backends that fit, and how names are said. Pure.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "llm/llm.h"

namespace gbgreg::routing {

// Smaller is better.
int readiness(llm::BackendState state);

// The one that will probably answer first: the readiest, then one with a free slot, then the shortest queue. Null when
// none fits.
template <class Fits>
const llm::BackendView* readiest(std::span<const llm::BackendView> backends, Fits fits) {
  const auto rank = [](const llm::BackendView& backend) {
    return std::tuple(readiness(backend.state), backend.slots_free > 0 ? 0 : 1,
                      static_cast<double>(backend.queued) / std::max(1, backend.slots_total));
  };
  const llm::BackendView* found = nullptr;
  for (const auto& backend : backends) {
    if (fits(backend) && (found == nullptr || rank(backend) < rank(*found))) found = &backend;
  }
  return found;
}

// A name that a client sent, in quotes and cut to what a sentence can hold.
std::string quoted(std::string_view name);

// ["auto","technical"]: each name once.
std::string json_names(std::span<const std::string_view> names);

}  // namespace gbgreg::routing

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

// The one to ask: the readiest, then the one that its role prefers, then one with a free slot, then the shortest queue.
// Null when none fits.
template <class Fits>
const llm::BackendView* readiest(std::span<const llm::BackendView> backends, Fits fits) {
  const auto rank = [](const llm::BackendView& backend) {
    return std::tuple(readiness(backend.state), backend.preference, backend.slots_free > 0 ? 0 : 1,
                      static_cast<double>(backend.queued) / std::max(1, backend.slots_total));
  };
  const llm::BackendView* found = nullptr;
  for (const auto& backend : backends) {
    if (fits(backend) && (found == nullptr || rank(backend) < rank(*found))) found = &backend;
  }
  return found;
}

// How long an answer of it will probably take, waiting included, for comparing: its latency by how many share its
// slots. One that has not been measured comes first, so that it is.
double expected_ms(const llm::BackendView& backend);

// Spreads the work over the backends that are as good as `chosen`: of its role, as much preferred and as ready. Of two
// of them, taken by `dice`, the one that will answer sooner: nearly as even as looking at all, and many who look at the
// same stale picture do not all go the same way. Dice of zero changes nothing.
// The result is `chosen` or one of `backends`; never null.
const llm::BackendView* share_work(std::span<const llm::BackendView> backends, const llm::BackendView* chosen,
                                   std::uint64_t dice);

// A name that a client sent, in quotes and cut to what a sentence can hold.
std::string quoted(std::string_view name);

// ["auto","technical"]: each name once.
std::string json_names(std::span<const std::string_view> names);

}  // namespace gbgreg::routing

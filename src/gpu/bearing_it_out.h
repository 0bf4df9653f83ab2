// The engine says that a model is on the card: do the card's memory, the speed and the load bear that out? Pure.
//
// Only where all that has to be known is known: in a container the driver's numbers of processes may be the host's, and
// then nothing is said of memory.
#pragma once

#include <string_view>
#include <vector>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

// Of each worker that is wholly on a card the first that contradicts it.
std::vector<Finding> what_contradicts_the_card(const Facts& facts);

// Is a card that is busy for so much of the time next to idle?
bool is_idle(int utilisation_percent);

std::vector<std::string_view> codes_of_contradictions();

}  // namespace gbgreg::gpu

// The card can be reached, and still a model runs on the processor: what the workers themselves showed. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

// One finding a worker at most, its first cause.
std::vector<Finding> why_the_card_is_not_used(const Facts& facts);

std::vector<std::string_view> codes_of_using_the_card();

}  // namespace gbgreg::gpu

// From the PCI bus to the engine's module: the first thing that stands between a program and an NVIDIA card. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

// Absent when CUDA starts and a module of the engine can use it, and when there is no card that anything speaks of.
std::optional<Finding> why_the_card_is_not_reached(const Facts& facts);

std::vector<std::string_view> codes_of_reaching_the_card();

}  // namespace gbgreg::gpu

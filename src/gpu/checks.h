// Why a model silently runs on the CPU: one check for each known cause. Pure: facts in, findings out.
//
// A cause that explains another is told alone: with no device nodes nobody needs to hear that CUDA does not start. On a
// machine where all is well, with a GPU or without one, nothing is said.
#pragma once

#include <string_view>
#include <vector>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

// Of the machine and its driver first, then of the engine's modules, then of the workers.
std::vector<Finding> examine(const Facts& facts);

// All codes that examine() may tell, for the manual and its test.
std::vector<std::string_view> known_codes();

}  // namespace gbgreg::gpu

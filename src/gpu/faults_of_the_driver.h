// The card itself and the kernel's driver of it: what goes wrong before a program comes into it. Pure.
//
// Each check is for one cause, and absent where that is not it.
#pragma once

#include <optional>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

std::optional<Finding> firmware_hang(const Facts& facts);
std::optional<Finding> driver_does_not_answer(const Facts& facts);
std::optional<Finding> driver_library_mismatch(const Facts& facts);
std::optional<Finding> blackwell_needs_open_modules(const Facts& facts);
std::optional<Finding> bar_too_small(const Facts& facts);
std::optional<Finding> driver_missing(const Facts& facts);

}  // namespace gbgreg::gpu

// Past the nodes: the driver's library, CUDA, and the engine's module that needs it. Pure.
//
// Each check is for one cause, and absent where that is not it.
#pragma once

#include <optional>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

std::optional<Finding> visible_devices_wrong(const Facts& facts);
std::optional<Finding> driver_capabilities(const Facts& facts);
std::optional<Finding> cdi_libcuda_unreachable(const Facts& facts);
std::optional<Finding> driver_library_missing(const Facts& facts);
std::optional<Finding> compat_shadows_driver(const Facts& facts);
std::optional<Finding> lost_after_suspend(const Facts& facts);
std::optional<Finding> hmm_bug(const Facts& facts);
std::optional<Finding> driver_too_old(const Facts& facts);
std::optional<Finding> cuda_does_not_start(const Facts& facts);
std::optional<Finding> engine_module_unloadable(const Facts& facts);

}  // namespace gbgreg::gpu

// The driver's device nodes: that there are none, that they are another's, or that they may not be opened. Pure.
//
// Each check is for one cause, and absent where that is not it.
#pragma once

#include <optional>

#include "gpu/facts.h"
#include "gpu/finding.h"

namespace gbgreg::gpu {

std::optional<Finding> container_runtime_missing(const Facts& facts);
std::optional<Finding> no_device_nodes(const Facts& facts);
std::optional<Finding> lxc_passthrough(const Facts& facts);
std::optional<Finding> devices_revoked(const Facts& facts);
std::optional<Finding> permission_denied(const Facts& facts);
std::optional<Finding> uvm_not_loaded(const Facts& facts);

}  // namespace gbgreg::gpu

// On what a role's model may run. A plain value.
#pragma once

#include <cstdint>

namespace gbgreg::gpu {

enum class DevicePolicy : std::uint8_t {
  prefer_gpu,   // On a GPU where there is one that can be used, else on the processor.
  require_gpu,  // Wholly on a GPU, by the engine's own word; otherwise the role answers nothing and says why.
  cpu,          // On the processor, whatever else there is.
};

}  // namespace gbgreg::gpu

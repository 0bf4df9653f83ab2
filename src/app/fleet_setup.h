// The fleet's options: those of the configuration, and what only the machine and the start of the gateway can tell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "config/config.h"
#include "fleet/options.h"
#include "models/library.h"

namespace gbgreg::app {

// Known once, at the start.
struct FleetGround {
  std::filesystem::path run_folder;
  std::uint64_t open_files_max = 0;    // What a worker may have open.
  std::int64_t memory_for_models = 0;  // Where the configuration does not say it.
  bool has_gpu = false;
};

// The library is shared with the fleet, which looks into it at each start of a worker.
fleet::Options fleet_options(const config::Config& config, const FleetGround& ground,
                             std::shared_ptr<const models::Library> library);

}  // namespace gbgreg::app

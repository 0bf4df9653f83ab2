#include "app/fleet_setup.h"

#include <utility>

#include "app/models.h"

namespace gbgreg::app {

fleet::Options fleet_options(const config::Config& config, const FleetGround& ground,
                             std::shared_ptr<const models::Library> library) {
  fleet::Options options = with_stored_models(config.fleet, std::move(library));
  options.run_folder = ground.run_folder;
  options.worker_open_files_max = ground.open_files_max;
  options.has_gpu = ground.has_gpu;
  std::int64_t& for_models = options.memory.budget.host;
  if (for_models == fleet::Memory::kUnbounded) for_models = ground.memory_for_models;
  return options;
}

}  // namespace gbgreg::app

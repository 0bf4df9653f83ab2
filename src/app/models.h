// `gbgreg models`: fetching, importing, listing, showing and removing, without a gateway, or beside one that runs. And
// how the fleet finds the models of roles that have no file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "fleet/options.h"
#include "models/library.h"

namespace gbgreg::app {

struct ModelsCommand {
  enum class What : std::uint8_t { list, show, pull, import, remove, prune };
  What what = What::list;
  std::string subject = {};  // A name, an address, a file.
  std::string name = {};     // What to call it.
  std::string projector = {};
};

// Returns the exit status: 0 when it went well, else 1, with what was wrong on standard error.
int run_models(const config::Config& config, const ModelsCommand& command);

// The fleet's options with a look into the stores: at once, for those who plan with the files, and at each start.
// The library is shared with them.
fleet::Options with_stored_models(fleet::Options options, std::shared_ptr<const models::Library> library);

}  // namespace gbgreg::app

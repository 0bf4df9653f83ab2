// The composition root: builds every room bottom-up, joins them by reference, runs until a signal, takes them down.
#pragma once

#include <filesystem>
#include <string>

#include "config/config.h"

namespace gbgreg::app {

// Runs the gateway until SIGINT or SIGTERM, or until the terminal that it was started in is closed. `config` was read
// from `source`, which SIGHUP and POST /api/reload read again. Returns the exit status; what stopped it from starting
// is on standard error.
int serve(const config::Config& config, const config::Source& source, const std::string& version,
          const std::filesystem::path& root = "/");

}  // namespace gbgreg::app

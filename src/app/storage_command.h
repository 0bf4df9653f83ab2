// `gbgreg storage verify`, `gbgreg backup` and `gbgreg restore`: without a gateway, and the first two beside one that
// runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "config/config.h"

namespace gbgreg::app {

struct StorageCommand {
  enum class What : std::uint8_t { verify, backup, restore };
  What what = What::verify;
  std::filesystem::path file = {};  // The backup.
  bool as_json = false;             // Of verify: the report for machines.
  bool replaces = false;            // Of restore: what is there is moved aside.
  std::string version = {};         // Of this gbgreg.
};

// Returns the exit status: 0 when it went well and all is well, else 1, with what is wrong on standard error, or in the
// report of verify.
int run_storage_command(const config::Config& config, const StorageCommand& command);

}  // namespace gbgreg::app

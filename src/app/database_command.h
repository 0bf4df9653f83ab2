// `gbgreg db migrate`, `gbgreg db check` and `gbgreg db copy`: the database itself, without a gateway.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"

namespace gbgreg::app {

struct DatabaseCommand {
  enum class What : std::uint8_t { migrate, check, copy };
  What what = What::check;
  std::string from = {};  // URLs, of copy.
  std::string to = {};
  bool as_json = false;  // Of check.
};

// Returns the exit status: 0 when it went well and all is well, else 1, with what is wrong on standard error, or in the
// report of check.
int run_database_command(const config::Config& config, const DatabaseCommand& command);

}  // namespace gbgreg::app

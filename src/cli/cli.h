// The command line: words to a command. It runs nothing itself.
#pragma once

#include <string>

#include "config/config.h"

namespace gbgreg::cli {

struct Parsed {
  bool serve = false;  // Run the gateway with `flags`.
  config::Flags flags = {};
  int exit_status = 0;    // When there is nothing to run: after --help, --version or a mistake, …
  std::string text = {};  // … what to print, on standard error when exit_status is not 0.
};

Parsed parse(int argc, const char* const* argv, const std::string& version);

}  // namespace gbgreg::cli

#include <exception>
#include <iostream>

#include "app/app.h"
#include "cli/cli.h"
#include "config/config.h"
#include "core/log.h"

int main(int argc, char** argv) {
  try {
    const auto parsed = gbgreg::cli::parse(argc, argv, GBGREG_VERSION);
    if (!parsed.serve) {
      (parsed.exit_status == 0 ? std::cout : std::cerr) << parsed.text;
      return parsed.exit_status;
    }
    const auto config = gbgreg::config::load(parsed.flags, gbgreg::config::process_environment());
    if (!config) {
      std::cerr << "gbgreg: " << config.error().message << std::endl;
      return 2;
    }
    gbgreg::set_up_log(config->log_level);
    return gbgreg::app::serve(*config, GBGREG_VERSION);
  } catch (const std::exception& error) {
    std::cerr << "gbgreg: " << error.what() << std::endl;
    return 1;
  }
}

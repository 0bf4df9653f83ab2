// `gbgreg gpu install|remove|status`: what services/gpu_modules.h does, told to the person at the terminal.
#pragma once

#include <filesystem>
#include <string>

#include "config/config.h"

namespace gbgreg::app {

struct GpuCommand {
  enum class Verb : std::uint8_t { install, remove, status };
  Verb verb = Verb::status;
  std::string module = {};           // Of install: "cuda", "cuda12", "vulkan"; empty for the best that works here.
  std::filesystem::path root = "/";  // Where the machine's files are looked for: another one in tests.
};

// Returns the exit status: 0 when it is done, 1 when it is not.
int run_gpu_command(const config::Config& config, const GpuCommand& command);

}  // namespace gbgreg::app

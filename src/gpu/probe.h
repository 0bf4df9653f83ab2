// Asks the driver in a process of its own, which may hang or die. Blocks, for a bounded time.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/facts.h"

namespace gbgreg::gpu {

struct ProbeOptions {
  std::filesystem::path program = "/proc/self/exe";  // gbgreg itself.
  std::filesystem::path root = "/";
  std::filesystem::path engine_folder = {};
  std::vector<std::string> environment = {};  // Whole: as a worker gets it, since that decides what is found.
  std::chrono::milliseconds timeout{3'500};
};

// What the other process told, up to its end or until the time was up. Fills in the nodes' open_error, too.
Probe ask_driver(const ProbeOptions& options, Machine& machine);

// The same from what was told: lines of driver_probe.h. Takes any bytes.
Probe read_probe(std::string_view told, bool is_over_time, Machine& machine);

}  // namespace gbgreg::gpu

// Asks the driver in a process of its own, which may hang or die. Blocks, for a bounded time.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/facts.h"

namespace gbgreg::gpu {

enum class Asks : std::uint8_t {
  everything,
  memory,  // Only NVML's part: what there is of cards, and who holds their memory. The quickest.
};

struct ProbeOptions {
  std::filesystem::path program = "/proc/self/exe";  // gbgreg itself.
  std::filesystem::path root = "/";
  std::filesystem::path engine_folder = {};
  std::vector<std::string> environment = {};  // Whole: as a worker gets it, since that decides what is found.
  std::chrono::milliseconds timeout{3'500};
  Asks asks = Asks::everything;
};

// What the other process told, up to its end or until the time was up. Fills in the nodes' open_error, too.
Probe ask_driver(const ProbeOptions& options, Machine& machine);

// The same from what was told: lines of driver_probe.h. Takes any bytes.
Probe read_probe(std::string_view told, bool is_over_time, Machine& machine);

}  // namespace gbgreg::gpu

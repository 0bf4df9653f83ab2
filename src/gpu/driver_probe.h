// Asks the driver itself: opens its nodes, its libraries NVML and CUDA, and the engine's modules for GPUs.
//
// A driver that hangs takes along whoever asks it, so this runs in a process of its own (`gbgreg probe-driver`, started
// by probe.h), and tells what it finds bit by bit: what it had told before it hung is known.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace gbgreg::gpu {

struct DriverProbeOptions {
  std::filesystem::path root = "/";     // Where /dev is.
  std::filesystem::path engine_folder;  // Where the engine's modules lie.
  bool memory_only = false;             // Nothing but NVML is asked.
};

// Each line is a JSON object with one member: "node", "nvml", "cuda", "module" or "end". Blocks.
void probe_driver(const DriverProbeOptions& options, const std::function<void(std::string_view line)>& tell);

}  // namespace gbgreg::gpu

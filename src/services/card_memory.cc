#include "services/card_memory.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>
#include <utility>

namespace gbgreg::services {
namespace {

std::string in_gigabytes(std::int64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9); }

// What the driver says that a process holds, on all cards; absent when it does not know it.
std::optional<std::int64_t> held_by(int process, std::span<const gpu::NvmlDevice> devices) {
  std::optional<std::int64_t> held;
  for (const gpu::NvmlDevice& device : devices) {
    for (const gpu::GpuProcess& one : device.processes) {
      // 0 stands for what it does not know.
      if (one.pid == process && one.bytes > 0) held = held.value_or(0) + static_cast<std::int64_t>(one.bytes);
    }
  }
  return held;
}

// Absent when it cannot be told now.
std::optional<std::int64_t> held_by_us(std::span<const gpu::NvmlDevice> devices,
                                       std::span<const llm::BackendView> views) {
  std::int64_t held = 0;
  std::set<int> counted;
  for (const llm::BackendView& view : views) {
    if (!view.process_id || !counted.insert(*view.process_id).second) continue;
    const bool is_on_its_way = view.state == llm::BackendState::loading || view.state == llm::BackendState::draining;
    if (const auto known = held_by(*view.process_id, devices)) {
      held += *known;
    } else if (is_on_its_way) {
      return std::nullopt;
    } else if (!view.placement.devices.empty()) {
      held += view.memory_bytes;
    }
  }
  return held;
}

}  // namespace

std::optional<CardMemory> card_memory_for_models(std::span<const gpu::NvmlDevice> devices,
                                                 std::span<const llm::BackendView> views) {
  std::int64_t total = 0;
  std::int64_t used = 0;
  std::int64_t reserve = 0;
  for (const gpu::NvmlDevice& device : devices) {
    const auto bytes = static_cast<std::int64_t>(device.memory_bytes);
    total += bytes;
    used += static_cast<std::int64_t>(device.memory_used_bytes);
    reserve += std::max(kCardReserveMin, bytes / kCardReserveParts);
  }
  if (total <= 0) return std::nullopt;
  const auto ours = held_by_us(devices, views);
  if (!ours) return std::nullopt;
  const std::int64_t others = std::max<std::int64_t>(0, used - *ours);
  const std::int64_t left = std::max<std::int64_t>(0, total - reserve - others);
  return CardMemory{.bytes = left / kCardMemoryStep * kCardMemoryStep,
                    .figures = "the driver says " + in_gigabytes(total) + " in all; other programs hold " +
                               in_gigabytes(others) + ", and " + in_gigabytes(reserve) + " are kept back"};
}

std::optional<CardMemory> look_at_card_memory(gpu::ProbeOptions options) {
  options.asks = gpu::Asks::memory;
  gpu::Machine machine;
  const gpu::Probe probe = gpu::ask_driver(options, machine);
  if (!probe.nvml || !probe.nvml->works()) return std::nullopt;
  return card_memory_for_models(probe.nvml->devices, {});
}

}  // namespace gbgreg::services

// How fast a card's memory is, which is what bounds the speed of an answer: every token reads the whole model.
#pragma once

#include <cstdint>
#include <optional>

#include "gpu/facts.h"

namespace gbgreg::gpu {

// Bytes a second: its fastest clock, two transfers a cycle, the width of its bus. Absent when the driver does not say
// both.
inline std::optional<std::int64_t> bandwidth_of(const NvmlDevice& device) {
  constexpr std::int64_t kTransfersPerCycle = 2;
  constexpr std::int64_t kBitsPerByte = 8;
  constexpr std::int64_t kHertzPerMegahertz = 1'000'000;
  if (device.memory_clock_mhz.value_or(0) <= 0 || device.memory_bus_bits.value_or(0) <= 0) return std::nullopt;
  return std::int64_t{*device.memory_clock_mhz} * kHertzPerMegahertz * kTransfersPerCycle * *device.memory_bus_bits /
         kBitsPerByte;
}

}  // namespace gbgreg::gpu

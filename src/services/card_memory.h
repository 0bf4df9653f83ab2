// What models may have of the cards' memory, by the driver's word: what there is, without a reserve and without what
// other programs hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "gpu/facts.h"
#include "gpu/probe.h"
#include "llm/llm.h"

namespace gbgreg::services {

// Of each card so much is kept back, for what no prediction counts: each process's own part of the driver, and a
// desktop that takes a little more. A sixteenth, and at least this.
inline constexpr std::int64_t kCardReserveMin = std::int64_t{512} * 1024 * 1024;
inline constexpr std::int64_t kCardReserveParts = 16;
// Less than this is no change: others take and give back a little all the time.
inline constexpr std::int64_t kCardMemoryStep = std::int64_t{64} * 1024 * 1024;

struct CardMemory {
  std::int64_t bytes = 0;    // Of all cards together.
  std::string figures = {};  // "the driver says 17.09 GB in all; other programs hold 1.10 GB, and …"

  bool operator==(const CardMemory&) const = default;
};

// `views` are those of our workers, before the driver was asked and after: one that came or went meanwhile is ours,
// too. Where the driver does not know our processes, as in a container, what they say that they take is theirs. Absent
// when there is no card, and while one of those loads whose process the driver does not know. Pure.
std::optional<CardMemory> card_memory_for_models(std::span<const gpu::NvmlDevice> devices,
                                                 std::span<const llm::BackendView> views);

// The same of a machine on which none of our workers runs yet. Blocks until the driver has answered, or
// options.timeout.
std::optional<CardMemory> look_at_card_memory(gpu::ProbeOptions options);

}  // namespace gbgreg::services

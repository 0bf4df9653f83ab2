// What each worker takes of the cards, and how fast it could be at most: figures for /health. Pure.
//
// Only what the driver and the engine say; what they do not say is absent. In a container the driver's numbers of
// processes may be the host's, and then nobody's memory is known.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gpu/facts.h"
#include "llm/llm.h"
#include "protocols/native.h"
#include "services/doctor.h"

namespace gbgreg::services {

// For each of the backends: its memory on the cards by its process's number, and the most tokens a second that its
// card's bandwidth allows, as every token reads the whole model; that only for one that is wholly on the only card
// there is.
std::vector<protocols::native::CardUse> card_use_of(std::span<const llm::BackendView> backends,
                                                    std::span<const gpu::NvmlDevice> devices);

// Of one card: whose processes hold its memory, and how busy it is and was when models were at work.
void add_use(protocols::native::GpuDevice& device, const gpu::NvmlDevice& card, const Diagnosis& diagnosis,
             std::span<const llm::BackendView> backends);

}  // namespace gbgreg::services

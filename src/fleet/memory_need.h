// How much memory a worker will take, before it is started: weights, cache of the conversation, working buffers.
//
// By the engine's own rules (v0.5.0), held against what it reports of itself for models of many shapes
// (memory_need_test.cc). Pure.
#pragma once

#include <cstdint>

#include "fleet/model_shape.h"
#include "fleet/options.h"

namespace gbgreg::fleet {

struct LoadPlan {
  int context_tokens = 4096;  // For each slot.
  int slots = 1;
  int batch_tokens = 64;  // Through the layers at once; how many are handed over together does not matter.
  CacheType cache = CacheType::f16;
  bool repacks = false;  // The processor has AVX2, and the weights are not on a card.
};

// Bytes. Weights that are mapped from their file can be dropped and read again by the system, at the price of speed:
// they count in full.
struct MemoryNeed {
  std::int64_t weights = 0;
  std::int64_t repacked = 0;  // A second copy of some of them, in a faster order.
  std::int64_t cache = 0;
  std::int64_t working = 0;  // For a batch on its way through the layers, and for its outputs.
  std::int64_t projector = 0;

  std::int64_t total() const { return weights + repacked + cache + working + projector; }
  bool operator==(const MemoryNeed&) const = default;
};

// Everything on the processor. `projector_bytes` are the weights of the part that sees, or 0.
MemoryNeed memory_on_host(const ModelShape& model, std::int64_t projector_bytes, const LoadPlan& plan);

// Of the weights, what goes to a card when all layers do. The table of embeddings stays behind, unless it is the
// output, too.
std::int64_t card_weights(const ModelShape& model);

// All that goes to a card then.
std::int64_t memory_on_card(const ModelShape& model, std::int64_t projector_bytes, const LoadPlan& plan);

}  // namespace gbgreg::fleet

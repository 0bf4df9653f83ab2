#include "fleet/memory_need.h"

#include <algorithm>

namespace gbgreg::fleet {
namespace {

constexpr std::int64_t kFloat = 4;      // Bytes of a number on its way through the layers.
constexpr std::int64_t kMaskEntry = 2;  // Bytes a cell of the cache for each token of a batch: who sees what.
constexpr std::int64_t kCellsAtOnce = 256;

std::int64_t up_to_cells(std::int64_t tokens) { return (tokens + kCellsAtOnce - 1) / kCellsAtOnce * kCellsAtOnce; }

std::int64_t bytes_in(CacheType type, std::int64_t numbers) {
  constexpr std::int64_t kBlock = 32;
  constexpr std::int64_t kBlockBytes = 34;
  return type == CacheType::q8_0 ? numbers / kBlock * kBlockBytes : numbers * 2;
}

// Cells that a layer with a window keeps: the window, and the batch that comes in.
std::int64_t window_cells(const ModelShape& model, const LoadPlan& plan) {
  const std::int64_t context = up_to_cells(plan.context_tokens);
  return std::min(context, up_to_cells(std::int64_t{model.window_tokens} + plan.batch_tokens));
}

std::int64_t cache_bytes(const ModelShape& model, const LoadPlan& plan) {
  if (!model.is_causal) return 0;
  const std::int64_t all = bytes_in(plan.cache, model.cache_numbers) * up_to_cells(plan.context_tokens);
  const std::int64_t windows = bytes_in(plan.cache, model.window_cache_numbers) * window_cells(model, plan);
  return (all + windows) * plan.slots;
}

// The most that is alive at once is in the feed-forward part of a layer: its gate, its product and their inputs.
std::int64_t working_bytes(const ModelShape& model, const LoadPlan& plan) {
  const std::int64_t wide = model.has_gate ? 3 : 1;
  const std::int64_t narrow = model.has_gate ? 4 : 3;
  const std::int64_t numbers = wide * model.feed_forward_numbers + narrow * model.embedding_numbers;
  std::int64_t mask = up_to_cells(plan.context_tokens);
  if (model.window_cache_numbers > 0) mask += window_cells(model, plan);
  const std::int64_t outputs = std::int64_t{model.vocabulary} * plan.slots * kFloat;
  return plan.batch_tokens * (numbers * kFloat + mask * kMaskEntry) + outputs;
}

}  // namespace

MemoryNeed memory_on_host(const ModelShape& model, std::int64_t projector_bytes, const LoadPlan& plan) {
  return {.weights = model.weight_bytes,
          .repacked = plan.repacks ? model.repackable_bytes : 0,
          .cache = cache_bytes(model, plan),
          .working = working_bytes(model, plan),
          .projector = projector_bytes};
}

std::int64_t card_weights(const ModelShape& model) {
  return model.weight_bytes - (model.ties_output ? 0 : model.input_bytes);
}

std::int64_t memory_on_card(const ModelShape& model, std::int64_t projector_bytes, const LoadPlan& plan) {
  const MemoryNeed need = memory_on_host(model, projector_bytes, plan);
  return card_weights(model) + need.cache + need.working + need.projector;
}

}  // namespace gbgreg::fleet

#include "gpu/bearing_it_out.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "gpu/bandwidth.h"

namespace gbgreg::gpu {
namespace {

constexpr double kShareOfWeights = 0.9;
// Of what the memory's bandwidth allows, engines reach three fifths and more on consumers' cards. The wide memory of
// data centres' cards is faster than the rest of a token's work, and half of that is well there.
constexpr double kShareOfBandwidth = 0.6;
constexpr double kShareOfWideBandwidth = 0.3;
constexpr int kWideBusBits = 1024;
// Past this the time of a token is that of starting its kernels, and no longer that of reading the model.
constexpr double kTokensPerSecondUnjudged = 100;
constexpr int kIdlePercent = 10;
constexpr int kIdleLooksMin = 2;  // One may have fallen between two answers.

std::string name_of(const WorkerFacts& worker) { return worker.role + " (" + worker.model + ")"; }

std::string with_a_digit(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", number);
  return text.data();
}

std::string gigabytes(double bytes) { return with_a_digit(bytes / 1e9) + " GB"; }

// By CUDA's own names: of other makers' cards NVML knows nothing.
bool is_wholly_on_cuda(const WorkerFacts& worker) {
  const auto& placement = worker.placement;
  return worker.has_started && placement.device.starts_with("CUDA") && placement.gpu_layers.value_or(0) > 0 &&
         placement.gpu_layers == placement.total_layers;
}

std::string layers_line(const WorkerFacts& worker) {
  return name_of(worker) + ": the engine says that " + std::to_string(*worker.placement.gpu_layers) + " of " +
         std::to_string(*worker.placement.total_layers) + " layers are on " + worker.placement.device;
}

// On all cards; absent when the driver does not know this process.
std::optional<std::uint64_t> held_by(const WorkerFacts& worker, const Nvml& nvml) {
  std::optional<std::uint64_t> held;
  for (const NvmlDevice& device : nvml.devices) {
    for (const GpuProcess& process : device.processes) {
      if (process.pid == worker.pid && process.bytes > 0) held = held.value_or(0) + process.bytes;
    }
  }
  return held;
}

std::optional<Finding> card_memory_missing(const Facts& facts, const WorkerFacts& worker) {
  const auto held = held_by(worker, *facts.probe.nvml);
  const auto needed = static_cast<double>(worker.card_bytes_needed);
  if (!held || needed <= 0 || static_cast<double>(*held) >= kShareOfWeights * needed) return std::nullopt;
  return Finding{
      .code = "card_memory_missing",
      .message = name_of(worker) + " is not on the card as a whole, though the engine says so.",
      .evidence = {layers_line(worker),
                   "its process " + std::to_string(worker.pid) + " holds " + gigabytes(static_cast<double>(*held)) +
                       " of the card's memory, by the driver's word",
                   "its weights on a card are " + gigabytes(needed)},
      .fix =
          "Something puts the card's memory into the host's: take GGML_CUDA_ENABLE_UNIFIED_MEMORY out of the "
          "environment, and on Windows set \"CUDA - Sysmem Fallback Policy\" to prefer none. Then make room "
          "on the card (a smaller context or fewer slots for " +
          worker.role + ", or cache: q8_0) and start gbgreg anew."};
}

std::optional<Finding> below_bandwidth(const Facts& facts, const WorkerFacts& worker) {
  // With several cards it is not known which one it is on.
  if (facts.probe.nvml->devices.size() != 1 || !worker.tokens_per_second) return std::nullopt;
  const NvmlDevice& card = facts.probe.nvml->devices.front();
  const auto bandwidth = bandwidth_of(card);
  const std::uint64_t bytes = worker.card_bytes_needed > 0 ? worker.card_bytes_needed : worker.model_bytes;
  if (!bandwidth || bytes == 0) return std::nullopt;
  const double bound = static_cast<double>(*bandwidth) / static_cast<double>(bytes);
  const double share = *card.memory_bus_bits >= kWideBusBits ? kShareOfWideBandwidth : kShareOfBandwidth;
  const double reached = *worker.tokens_per_second;
  if (reached >= share * bound || reached >= kTokensPerSecondUnjudged) return std::nullopt;
  return Finding{.code = "below_bandwidth",
                 .severity = Severity::warning,
                 .message = name_of(worker) + " answers more slowly than its card allows.",
                 .evidence = {name_of(worker) + ": " + with_a_digit(reached) + " tokens a second at best",
                              card.name + " reads " + gigabytes(static_cast<double>(*bandwidth)) +
                                  " a second, and each token reads " + gigabytes(static_cast<double>(bytes)) +
                                  ": up to " + with_a_digit(bound) + " tokens a second"},
                 .fix =
                     "nvidia-smi -q -d PERFORMANCE,CLOCK shows what holds the card back: heat, a power limit, a clock "
                     "that was set. Another program that computes on it takes its part, too: nvidia-smi lists them."};
}

std::optional<Finding> card_idle(const Facts& facts, const WorkerFacts& worker) {
  if (facts.idle_looks < kIdleLooksMin) return std::nullopt;
  return Finding{
      .code = "card_idle",
      .severity = Severity::warning,
      .message = "The card has next to nothing to do while models on it give answers.",
      .evidence = {layers_line(worker),
                   "in " + std::to_string(facts.idle_looks) + " looks in a row during answers the card was busy for " +
                       std::to_string(facts.utilisation_decoding_percent) + " % of the time at most"},
      .fix =
          "Let gbgreg doctor --report write a file while a model gives an answer, and see in nvidia-smi which "
          "card is busy: with several, CUDA_VISIBLE_DEVICES chooses. Then start gbgreg anew."};
}

constexpr struct {
  std::string_view code;
  std::optional<Finding> (*check)(const Facts&, const WorkerFacts&);
} kChecks[] = {
    {"card_memory_missing", card_memory_missing}, {"below_bandwidth", below_bandwidth}, {"card_idle", card_idle}};

}  // namespace

bool is_idle(int utilisation_percent) { return utilisation_percent < kIdlePercent; }

std::vector<Finding> what_contradicts_the_card(const Facts& facts) {
  std::vector<Finding> findings;
  if (!facts.probe.nvml || !facts.probe.nvml->works()) return findings;
  for (const WorkerFacts& worker : facts.workers) {
    if (!is_wholly_on_cuda(worker)) continue;
    for (const auto& [code, check] : kChecks) {
      auto finding = check(facts, worker);
      if (!finding) continue;
      // The card is idle for all of them at once.
      const bool is_told = std::ranges::any_of(
          findings, [&](const Finding& told) { return told.code == "card_idle" && finding->code == told.code; });
      if (!is_told) findings.push_back(std::move(*finding));
      break;
    }
  }
  return findings;
}

std::vector<std::string_view> codes_of_contradictions() {
  std::vector<std::string_view> codes;
  for (const auto& [code, check] : kChecks) codes.push_back(code);
  return codes;
}

}  // namespace gbgreg::gpu

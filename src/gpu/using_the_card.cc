#include "gpu/using_the_card.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>

namespace gbgreg::gpu {
namespace {

constexpr std::uint64_t kMegabyte = 1024 * 1024;

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes / kMegabyte) + " MB"; }

std::string name_of(const WorkerFacts& worker) { return worker.role + " (" + worker.model + ")"; }

// What has its models loaded anew; the port is the one that a gateway has unless it is told otherwise.
std::string restart_of(const WorkerFacts& worker) {
  return "curl -X POST http://127.0.0.1:3333/api/fleet/" + worker.role + "/restart";
}

const std::string* complaint_with(const WorkerFacts& worker, std::initializer_list<std::string_view> words) {
  const auto found = std::ranges::find_if(worker.complaints, [&](const std::string& line) {
    return std::ranges::any_of(words, [&](std::string_view word) { return line.contains(word); });
  });
  return found == worker.complaints.end() ? nullptr : &*found;
}

int layers_on_card(const WorkerFacts& worker) { return worker.placement.gpu_layers.value_or(0); }
bool is_partly_on_card(const WorkerFacts& worker) {
  return worker.placement.total_layers && layers_on_card(worker) > 0 &&
         layers_on_card(worker) < *worker.placement.total_layers;
}
bool is_wholly_on_card(const WorkerFacts& worker) {
  return worker.placement.total_layers && layers_on_card(worker) == *worker.placement.total_layers;
}
bool is_on_processor(const WorkerFacts& worker) { return worker.has_started && worker.placement.device == "CPU"; }

std::string layers_line(const WorkerFacts& worker) {
  if (!worker.placement.total_layers) return name_of(worker) + " runs on " + worker.placement.device;
  return name_of(worker) + ": " + std::to_string(layers_on_card(worker)) + " of " +
         std::to_string(*worker.placement.total_layers) + " layers are on the card";
}

// Did the card run out of memory for this worker, or was it not even started for want of it?
const std::string* out_of_memory(const WorkerFacts& worker) {
  return complaint_with(worker, {"out of memory", "failed to allocate", "unable to allocate", "OutOfDeviceMemory",
                                 "of the card's memory, and models may have"});
}

// ---- The checks, each for one cause.

std::optional<Finding> client_disabled_gpu(const Facts&, const WorkerFacts& worker) {
  if (worker.gpu_layers_configured != 0 || worker.policy == DevicePolicy::cpu) return std::nullopt;
  return Finding{
      .code = "client_disabled_gpu",
      .message = "The configuration keeps " + name_of(worker) + " off the card.",
      .evidence = {"roles." + worker.role + ": gpu_layers: 0"},
      .fix =
          "Take gpu_layers out of the role in gbgreg.yaml, or write device: cpu if that is what you want; then "
          "curl -X POST http://127.0.0.1:3333/api/reload"};
}

// Kernels run on cards of their own generation that are not older: 860 on 8.6 and 8.9.
bool has_kernels_for(const std::vector<int>& architectures, int capability) {
  return std::ranges::any_of(architectures, [&](int architecture) {
    return architecture / 100 == capability / 10 && architecture / 10 <= capability;
  });
}

std::optional<Finding> arch_not_compiled(const Facts& facts, const WorkerFacts& worker) {
  const std::string* said = complaint_with(worker, {"no kernel image is available"});
  const CudaDevice* card =
      facts.probe.cuda && !facts.probe.cuda->devices.empty() ? &facts.probe.cuda->devices.front() : nullptr;
  const bool is_left_out = card != nullptr && !worker.architectures.empty() &&
                           !has_kernels_for(worker.architectures, card->capability) && !is_wholly_on_card(worker);
  if (said == nullptr && !is_left_out) return std::nullopt;
  std::vector<std::string> evidence;
  if (said != nullptr) evidence.push_back(*said);
  if (card != nullptr) {
    evidence.push_back(card->name + " has compute capability " + std::to_string(card->capability / 10) + "." +
                       std::to_string(card->capability % 10));
  }
  if (!worker.architectures.empty()) {
    std::string line = "the engine's module has kernels for";
    for (const int architecture : worker.architectures) line += " " + std::to_string(architecture);
    evidence.push_back(std::move(line));
  }
  return Finding{
      .code = "arch_not_compiled",
      .message = "The engine's CUDA module has no kernels for this card.",
      .evidence = std::move(evidence),
      .fix =
          "gbgreg gpu install cuda fetches a module for compute capability 7.5 to 12.1 (RTX 50 included); gbgreg "
          "gpu install vulkan one for any card."};
}

std::optional<Finding> vram_held_elsewhere(const Facts& facts, const WorkerFacts& worker) {
  const bool is_short = is_partly_on_card(worker) || (out_of_memory(worker) != nullptr && !is_wholly_on_card(worker));
  if (!is_short || !facts.probe.nvml) return std::nullopt;
  std::uint64_t held = 0;
  std::vector<std::string> evidence = {layers_line(worker)};
  for (const NvmlDevice& device : facts.probe.nvml->devices) {
    for (const GpuProcess& process : device.processes) {
      if (std::ranges::find(facts.workers, process.pid, &WorkerFacts::pid) != facts.workers.end()) continue;
      held += process.bytes;
      evidence.push_back("process " + std::to_string(process.pid) + " holds " + megabytes(process.bytes) + " of " +
                         device.name);
    }
  }
  const auto total = static_cast<std::uint64_t>(std::max(1, worker.placement.total_layers.value_or(1)));
  const std::uint64_t bytes = std::max(worker.model_bytes, worker.card_bytes_needed);
  const std::uint64_t missing = bytes / total * (total - static_cast<std::uint64_t>(layers_on_card(worker)));
  // A desktop's few megabytes are not what is missing.
  if (held == 0 || missing == 0 || held * 10 < missing * 8) return std::nullopt;
  return Finding{
      .code = "vram_held_elsewhere",
      .message = "Another program holds the card's memory that " + name_of(worker) + " needs.",
      .evidence = std::move(evidence),
      .fix = "End that program (ps -p with its number says which it is), or wait for it; then " + restart_of(worker)};
}

std::optional<Finding> context_too_large(const Facts&, const WorkerFacts& worker) {
  const std::string* said = out_of_memory(worker);
  if (!is_partly_on_card(worker) && (said == nullptr || is_wholly_on_card(worker))) return std::nullopt;
  std::vector<std::string> evidence = {layers_line(worker)};
  if (said != nullptr) evidence.push_back(*said);
  evidence.push_back("its context is " + std::to_string(worker.context_tokens) + " tokens, all slots together");
  return Finding{.code = "context_too_large",
                 .severity = Severity::warning,
                 .message = "The card's memory does not hold " + name_of(worker) +
                            " with its context, so part of it runs on the "
                            "processor.",
                 .evidence = std::move(evidence),
                 .fix = "In roles." + worker.role +
                        " set a smaller context or fewer slots, or cache: q8_0, which halves what the "
                        "context takes; or choose a smaller model."};
}

std::optional<Finding> projector_on_cpu(const Facts&, const WorkerFacts& worker) {
  if (!worker.has_projector || !is_wholly_on_card(worker) || worker.projector_device != "CPU") return std::nullopt;
  return Finding{.code = "projector_on_cpu",
                 .severity = Severity::warning,
                 .message = "The part of " + name_of(worker) +
                            " that looks at images runs on the processor, the rest on the card.",
                 .evidence = {layers_line(worker), "its vision projector is on the CPU"},
                 .fix = "Free memory on the card for it: a smaller context or fewer slots for " + worker.role +
                        ", or cache: q8_0."};
}

std::optional<Finding> silent_cpu_fallback(const Facts&, const WorkerFacts& worker) {
  if (worker.policy == DevicePolicy::cpu || !is_on_processor(worker)) return std::nullopt;
  return Finding{.code = "silent_cpu_fallback",
                 .message = name_of(worker) + " runs on the processor, though the card can be reached.",
                 .evidence = {layers_line(worker)},
                 .fix = "Load it anew: " + restart_of(worker) +
                        " ; if it stays so, gbgreg doctor --report writes a file with the engine's "
                        "log to attach to a question."};
}

constexpr struct {
  std::string_view code;
  std::optional<Finding> (*check)(const Facts&, const WorkerFacts&);
} kChecks[] = {
    {"client_disabled_gpu", client_disabled_gpu}, {"arch_not_compiled", arch_not_compiled},
    {"vram_held_elsewhere", vram_held_elsewhere}, {"context_too_large", context_too_large},
    {"projector_on_cpu", projector_on_cpu},       {"silent_cpu_fallback", silent_cpu_fallback},
};

// Is there a card that a worker could use? Without one, running on the processor is as it should be.
bool is_card_usable(const Facts& facts) {
  if (!facts.probe.modules) return false;
  const bool has_module = std::ranges::any_of(*facts.probe.modules, &EngineModule::is_loadable);
  return has_module && facts.probe.cuda && facts.probe.cuda->works();
}

}  // namespace

std::vector<Finding> why_the_card_is_not_used(const Facts& facts) {
  std::vector<Finding> findings;
  if (!is_card_usable(facts)) return findings;
  for (const WorkerFacts& worker : facts.workers) {
    for (const auto& [code, check] : kChecks) {
      auto finding = check(facts, worker);
      if (!finding) continue;
      findings.push_back(std::move(*finding));
      break;
    }
  }
  return findings;
}

std::vector<std::string_view> codes_of_using_the_card() {
  std::vector<std::string_view> codes;
  for (const auto& [code, check] : kChecks) codes.push_back(code);
  return codes;
}

}  // namespace gbgreg::gpu

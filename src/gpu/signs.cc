#include "gpu/signs.h"

#include <algorithm>
#include <cstring>

namespace gbgreg::gpu {
namespace {

// Vulkan's serves cards of every maker, of which nothing is known here.
bool has_module_for_any_card(const Facts& facts) {
  const auto& modules = facts.probe.modules;
  return modules && std::ranges::any_of(*modules, [](const EngineModule& module) {
           return module.is_loadable && module.file.contains("vulkan");
         });
}

}  // namespace

bool is_container(const Machine& machine) { return machine.container != Container::none; }

const DeviceNode* node(const Machine& machine, std::string_view path) {
  const auto found = std::ranges::find(machine.nodes, path, &DeviceNode::path);
  return found == machine.nodes.end() ? nullptr : &*found;
}

bool has_card_node(const Machine& machine) {
  return std::ranges::any_of(machine.nodes, [](const DeviceNode& node) {
    constexpr std::string_view kCard = "/dev/nvidia";
    return node.path.size() > kCard.size() && node.path.starts_with(kCard) && node.path[kCard.size()] >= '0' &&
           node.path[kCard.size()] <= '9';
  });
}

bool is_ours(const PciCard& card) { return card.driver != "vfio-pci"; }

bool has_card(const Machine& machine) { return std::ranges::any_of(machine.cards, is_ours); }

bool is_there_a_card(const Facts& facts) {
  const Machine& machine = facts.machine;
  return has_card(machine) || has_card_node(machine) || machine.driver || facts.earlier;
}

bool is_gpu_required(const Facts& facts) {
  const bool may_have_one = has_module_for_any_card(facts);
  return std::ranges::any_of(facts.workers, [&](const WorkerFacts& worker) {
    return worker.policy == DevicePolicy::require_gpu && !worker.has_started && (worker.has_failed || !may_have_one);
  });
}

bool cuda_works(const Facts& facts) { return facts.probe.cuda && facts.probe.cuda->works(); }

std::optional<int> cuda_status(const Facts& facts) {
  const auto& cuda = facts.probe.cuda;
  return cuda && cuda->load_error.empty() ? std::optional(cuda->status) : std::nullopt;
}

bool cuda_is_not_found(const Facts& facts) { return facts.probe.cuda && !facts.probe.cuda->load_error.empty(); }

bool nvml_works(const Facts& facts) { return facts.probe.nvml && facts.probe.nvml->works(); }

std::string line_of(const DeviceNode& node) {
  std::string line = node.path + ": ";
  line += node.open_error == 0 ? "opens" : std::strerror(node.open_error);
  if (!node.owner.empty()) line += " (" + node.owner + ")";
  return line;
}

std::string line_of(const PciCard& card) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id;
  for (int shift = 12; shift >= 0; shift -= 4) id += kDigits[static_cast<std::size_t>((card.device >> shift) & 15)];
  return "PCI " + card.address + ": NVIDIA device " + id + ", " +
         (card.driver.empty() ? std::string("no driver is bound to it") : "bound to " + card.driver);
}

std::string line_of(const KernelDriver& driver) {
  return "kernel module nvidia " + driver.version + (driver.is_open ? " (open)" : " (proprietary)");
}

std::vector<std::string> card_lines(const Machine& machine) {
  std::vector<std::string> lines;
  for (const PciCard& card : machine.cards) {
    if (is_ours(card)) lines.push_back(line_of(card));
  }
  return lines;
}

std::string cuda_line(const Facts& facts) {
  const auto& cuda = facts.probe.cuda;
  if (!cuda) return "CUDA was not asked";
  if (!cuda->load_error.empty()) return "libcuda.so.1: " + cuda->load_error;
  return "cuInit: " + std::to_string(cuda->status) + (cuda->path.empty() ? "" : " (" + cuda->path + ")");
}

std::string nvml_line(const Facts& facts) {
  const auto& nvml = facts.probe.nvml;
  if (!nvml) return "NVML was not asked";
  if (!nvml->load_error.empty()) return "libnvidia-ml.so.1: " + nvml->load_error;
  if (nvml->status == 0) return "NVML: works, " + std::to_string(nvml->devices.size()) + " device(s)";
  return "NVML: " + std::to_string(nvml->status) + (nvml->status_text.empty() ? "" : " (" + nvml->status_text + ")");
}

std::string environment_line(std::string_view name, const std::optional<std::string>& value) {
  return std::string(name) + (value ? "=\"" + *value + "\"" : " is not set");
}

}  // namespace gbgreg::gpu

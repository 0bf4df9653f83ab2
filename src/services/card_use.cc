#include "services/card_use.h"

#include <algorithm>

#include "gpu/bandwidth.h"

namespace gbgreg::services {
namespace {

bool is_wholly_on_a_card(const llm::BackendView& backend) {
  const llm::Placement& placement = backend.placement;
  return placement.devices.size() == 1 && placement.device == placement.devices.front() && placement.gpu_layers &&
         placement.gpu_layers == placement.total_layers;
}

}  // namespace

std::vector<protocols::native::CardUse> card_use_of(std::span<const llm::BackendView> backends,
                                                    std::span<const gpu::NvmlDevice> devices) {
  std::vector<protocols::native::CardUse> uses;
  const auto bandwidth = devices.size() == 1 ? gpu::bandwidth_of(devices.front()) : std::nullopt;
  for (const llm::BackendView& backend : backends) {
    protocols::native::CardUse use;
    for (const gpu::NvmlDevice& device : devices) {
      for (const gpu::GpuProcess& process : device.processes) {
        // 0 stands for what the driver does not know.
        if (process.pid != backend.process_id || process.bytes == 0) continue;
        use.memory_bytes = use.memory_bytes.value_or(0) + static_cast<std::int64_t>(process.bytes);
      }
    }
    if (bandwidth && backend.model_bytes > 0 && is_wholly_on_a_card(backend)) {
      use.tokens_per_second_bound = static_cast<double>(*bandwidth) / static_cast<double>(backend.model_bytes);
    }
    uses.push_back(use);
  }
  return uses;
}

void add_use(protocols::native::GpuDevice& device, const gpu::NvmlDevice& card, const Diagnosis& diagnosis,
             std::span<const llm::BackendView> backends) {
  device.bandwidth_bytes_per_second = gpu::bandwidth_of(card);
  device.utilisation_percent = card.utilisation_percent;
  const auto decoding = diagnosis.utilisation_decoding.find(card.uuid);
  if (decoding != diagnosis.utilisation_decoding.end()) device.utilisation_decoding_percent = decoding->second;
  for (const gpu::GpuProcess& process : card.processes) {
    const auto owner = std::ranges::find_if(
        backends, [&](const llm::BackendView& backend) { return backend.process_id == process.pid; });
    protocols::native::GpuHolder holder;
    if (process.bytes > 0) holder.bytes = static_cast<std::int64_t>(process.bytes);
    if (owner != backends.end()) {
      holder.role = owner->role;
      holder.model = owner->model;
    }
    device.processes.push_back(std::move(holder));
  }
}

}  // namespace gbgreg::services

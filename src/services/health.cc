#include "services/health.h"

#include <algorithm>
#include <set>

#include "services/card_use.h"

namespace gbgreg::services {
namespace {

// Nothing but the smallest files would go in any more: a row of the database takes some pages, too.
constexpr std::uint64_t kFreeBytesMin = 1024 * 1024;

std::string storage_status(const StoresReport& stores, std::uint64_t upload_bytes_max) {
  if (!stores.folder_is_writable || stores.free_bytes < kFreeBytesMin) return "unhealthy";
  return stores.free_bytes < upload_bytes_max ? "degraded" : "healthy";
}

void add_stores(protocols::native::HealthReport& report, const std::optional<StoresReport>& stores,
                std::uint64_t upload_bytes_max) {
  if (!stores) {
    report.database.status = report.storage.status = "unhealthy";
    return;
  }
  report.database.status = stores->database_answers ? "healthy" : "unhealthy";
  report.storage.status = storage_status(*stores, upload_bytes_max);
  report.storage.free_bytes = stores->free_bytes;
}

std::string overall_status(const protocols::native::HealthReport& report) {
  const auto operational = std::ranges::count_if(report.backends, protocols::native::is_operational);
  const bool stores = report.database.status == "healthy" && report.storage.status == "healthy";
  const auto is_loading = [](const llm::BackendView& view) { return view.state == llm::BackendState::loading; };
  if (operational == 0) return std::ranges::any_of(report.backends, is_loading) ? "degraded" : "unhealthy";
  const bool all = operational == std::ssize(report.backends);
  return all && stores && report.gpu.status != "fault" ? "healthy" : "degraded";
}

}  // namespace

Health::Health(fleet::Fleet& fleet, StoresWatch& stores, const Doctor& doctor, const Clock& clock,
               std::uint64_t upload_bytes_max, std::string version)
    : fleet_(fleet),
      stores_(stores),
      doctor_(doctor),
      clock_(clock),
      upload_bytes_max_(upload_bytes_max),
      version_(std::move(version)),
      started_(clock.steady()) {}

Task<protocols::native::HealthReport> Health::report() {
  protocols::native::HealthReport report;
  report.version = version_;
  report.uptime_seconds = milliseconds_between(started_, clock_.steady()) / 1000;
  report.backends = fleet_.views();

  report.database.kind = stores_.database_kind();
  add_stores(report, co_await stores_.report(), upload_bytes_max_);
  add_gpu(report, doctor_.latest().get());
  report.status = overall_status(report);
  co_return report;
}

Task<void> Health::look_at_stores() { (void)co_await stores_.report(); }

void add_gpu(protocols::native::HealthReport& report, const Diagnosis* diagnosis) {
  report.gpu.devices = devices_in_use(report.backends);
  const bool has_card = diagnosis != nullptr && !diagnosis->devices.empty();
  report.gpu.status = report.gpu.devices.empty() && !has_card ? "absent" : "ok";
  if (diagnosis == nullptr) return;
  report.card_use = card_use_of(report.backends, diagnosis->devices);
  report.gpu.findings = diagnosis->gpu_findings;
  const auto is_fault = [](const gpu::Finding& finding) { return finding.severity == gpu::Severity::error; };
  if (std::ranges::any_of(report.gpu.findings, is_fault)) report.gpu.status = "fault";
  // With several cards the engine's numbers need not be those of the driver's list.
  if (diagnosis->devices.size() != 1) return;
  const gpu::NvmlDevice& card = diagnosis->devices.front();
  if (report.gpu.devices.empty()) report.gpu.devices.push_back({.id = card.uuid, .name = card.name});
  if (report.gpu.devices.size() != 1) return;
  auto& device = report.gpu.devices.front();
  device.name = card.name;
  add_use(device, card, *diagnosis, report.backends);
  device.memory_total_bytes = static_cast<std::int64_t>(card.memory_bytes);
  device.memory_free_bytes =
      static_cast<std::int64_t>(card.memory_bytes - std::min(card.memory_bytes, card.memory_used_bytes));
}

std::vector<protocols::native::GpuDevice> devices_in_use(const std::vector<llm::BackendView>& backends) {
  std::vector<protocols::native::GpuDevice> devices;
  std::set<std::string> seen;
  for (const llm::BackendView& backend : backends) {
    for (const std::string& device : backend.placement.devices) {
      if (seen.insert(device).second) devices.push_back({.id = device, .name = device});
    }
  }
  return devices;
}

bool Health::can_answer() const {
  const auto backends = fleet_.snapshot();
  return std::ranges::any_of(*backends, [](const llm::BackendView& view) {
    return view.state == llm::BackendState::ready || view.state == llm::BackendState::sleeping;
  });
}

}  // namespace gbgreg::services

#include "services/health.h"

#include <algorithm>
#include <set>

namespace gbgreg::services {
namespace {

// What the engines themselves said they use. A card that no engine reported is not claimed.
void add_devices(protocols::native::HealthReport& report) {
  std::set<std::string> seen;
  for (const llm::BackendView& backend : report.backends) {
    const std::string& device = backend.placement.device;
    if (device == "CPU" || device == "unknown" || device == "mixed" || !seen.insert(device).second) continue;
    report.gpu.devices.push_back({.id = device, .name = device});
  }
  report.gpu.status = report.gpu.devices.empty() ? "absent" : "ok";
}

std::string overall_status(const protocols::native::HealthReport& report) {
  const auto operational = std::ranges::count_if(report.backends, protocols::native::is_operational);
  const bool stores = report.database.status == "healthy" && report.storage.status == "healthy";
  if (operational == 0) return "unhealthy";
  const bool all = operational == std::ssize(report.backends);
  return all && stores ? "healthy" : "degraded";
}

}  // namespace

Health::Health(fleet::Fleet& fleet, Intake& intake, const Clock& clock, std::string version)
    : fleet_(fleet), intake_(intake), clock_(clock), version_(std::move(version)), started_(clock.steady()) {}

Task<protocols::native::HealthReport> Health::report() {
  protocols::native::HealthReport report;
  report.version = version_;
  report.uptime_seconds = milliseconds_between(started_, clock_.steady()) / 1000;
  report.backends = *fleet_.snapshot();

  const auto stores = co_await intake_.check();
  report.database.status = stores.database_answers ? "healthy" : "unhealthy";
  report.storage.status = stores.folder_is_writable ? "healthy" : "unhealthy";
  report.storage.free_bytes = stores.free_bytes;
  add_devices(report);
  report.status = overall_status(report);
  co_return report;
}

bool Health::can_answer() const {
  const auto backends = fleet_.snapshot();
  return std::ranges::any_of(*backends,
                             [](const llm::BackendView& view) { return view.state == llm::BackendState::ready; });
}

}  // namespace gbgreg::services

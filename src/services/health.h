// How the whole is: the fleet's picture, the database, the disk, put together for /health. Any thread.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"
#include "protocols/native.h"
#include "services/doctor.h"
#include "services/stores_watch.h"

namespace gbgreg::services {

class Health {
 public:
  // The disk is "degraded" when the largest upload that is allowed would no longer fit.
  Health(fleet::Fleet& fleet, StoresWatch& stores, const Doctor& doctor, const Clock& clock,
         std::uint64_t upload_bytes_max, std::string version);

  // Waits for the database and the disk, but never longer than StoresWatchOptions::wait_max.
  Task<protocols::native::HealthReport> report();

  // Has database and disk looked at, for gauges that say what was seen last. Waits likewise.
  Task<void> look_at_stores();

  // Is there a worker that is ready now? Costs one pointer copy.
  bool can_answer() const;

  // The largest upload that is allowed from now on. Any thread.
  void set_upload_bytes_max(std::uint64_t bytes_max) { upload_bytes_max_.store(bytes_max, std::memory_order_relaxed); }

  const std::string& version() const { return version_; }

 private:
  fleet::Fleet& fleet_;
  StoresWatch& stores_;
  const Doctor& doctor_;
  const Clock& clock_;
  std::atomic<std::uint64_t> upload_bytes_max_;
  std::string version_;
  SteadyTime started_;
};

// What the doctor found of the GPU, beside what the engines use. Pure.
void add_gpu(protocols::native::HealthReport& report, const Diagnosis* diagnosis);

// What the engines themselves said they use, each once. A card that no engine named is not claimed. Pure.
std::vector<protocols::native::GpuDevice> devices_in_use(const std::vector<llm::BackendView>& backends);

}  // namespace gbgreg::services

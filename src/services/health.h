// How the whole is: the fleet's picture, the database, the disk, put together for /health. Any thread.
#pragma once

#include <string>

#include "core/core.h"
#include "fleet/fleet.h"
#include "protocols/native.h"
#include "services/intake.h"

namespace gbgreg::services {

class Health {
 public:
  Health(fleet::Fleet& fleet, Intake& intake, const Clock& clock, std::string version);

  // Looks at the database and the disk, so it leaves the calling thread for a moment.
  Task<protocols::native::HealthReport> report();

  // Is there a worker that is ready now? Costs one pointer copy.
  bool can_answer() const;

  const std::string& version() const { return version_; }

 private:
  fleet::Fleet& fleet_;
  Intake& intake_;
  const Clock& clock_;
  std::string version_;
  SteadyTime started_;
};

}  // namespace gbgreg::services

// GET /api/fleet, and POST /api/fleet/{role}/load, /unload and /restart. The story is services/fleet_admin's.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/fleet_admin.h"

namespace gbgreg::http {

class FleetHandlers {
 public:
  // Both outlive this.
  FleetHandlers(services::FleetAdmin& admin, JsonReading& json) : admin_(admin), json_(json) {}

  Task<Result<void>> show(Call& call);
  Task<Result<void>> load(Call& call);
  Task<Result<void>> unload(Call& call);
  Task<Result<void>> restart(Call& call);

 private:
  // ?wait=true answers when it is done, ?deadline_ms=… after so long at the latest.
  Task<Result<void>> order(Call& call, fleet::Order order);

  services::FleetAdmin& admin_;
  JsonReading& json_;
};

}  // namespace gbgreg::http

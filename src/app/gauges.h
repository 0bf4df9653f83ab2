// What /metrics reads from others when somebody asks for it: the workers, the cards, the stores, the connections.
#pragma once

#include <string>

#include "fleet/fleet.h"
#include "metrics/metrics.h"
#include "net/server.h"
#include "services/doctor.h"
#include "services/intake.h"
#include "services/stores_watch.h"

namespace gbgreg::app {

// All of it outlives the registry's readers.
struct Gauged {
  const fleet::Fleet& fleet;
  const net::Server& server;
  const services::Doctor& doctor;
  const services::StoresWatch& stores;
  const services::Intake& intake;
};

void add_gauges(metrics::Registry& registry, const Gauged& from, const std::string& version);

}  // namespace gbgreg::app

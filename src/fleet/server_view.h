// An outside server as a whole, as gauges see it. Stale the moment it is made.
#pragma once

#include <string>

#include "fleet/breaker.h"

namespace gbgreg::fleet {

struct ServerView {
  std::string name;  // As its owner calls it.
  Breaker::State breaker = Breaker::State::open;
};

}  // namespace gbgreg::fleet

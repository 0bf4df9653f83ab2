// GET /api/fleet, and the bodies of POST /api/fleet/{role}/load, /unload and /restart. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/fleet_view.h"
#include "protocols/native.h"
#include "protocols/options.h"

namespace gbgreg::protocols::native {

struct FleetReport {
  llm::FleetDetails fleet = {};
  std::vector<CardUse> card_use = {};  // One for each backend, or none at all.
};

// {"roles":[…],"memory":{…}}: the backends by their roles, both in the order of the configuration.
std::string write_fleet(const FleetReport& report);
// One of `roles`, by itself.
std::string write_fleet_role(const FleetReport& report, std::string_view role);

// {"model":"…"}, which may be left out, as the whole body may: then the order is for all of the role's own models.
// Errors: malformed.
Result<std::optional<std::string>> parse_fleet_order(std::string_view body, const Limits& limits);

}  // namespace gbgreg::protocols::native

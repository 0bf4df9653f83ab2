// From the configuration of outside servers to what speaks to their models.
#pragma once

#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"

namespace gbgreg::app {

// All models of a server share its address: what is known of its name, and the sessions of TLS with it.
// Errors: unavailable, which names the server and what is wrong with its `ca_file`.
Result<fleet::OutsideFactory> outside_factory(const std::vector<fleet::ServerOptions>& servers);

}  // namespace gbgreg::app

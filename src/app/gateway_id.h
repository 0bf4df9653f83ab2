// By what id other gateways on the same database know this one: of its data folder, so that it is the same after a
// restart, even where the process before it was killed.
#pragma once

#include <filesystem>
#include <string>

#include "core/clock.h"

namespace gbgreg::app {

// Makes it where there is none. Where it cannot be kept, it is one for this run alone, and the log says so.
std::string gateway_id(const std::filesystem::path& data_folder, const Clock& clock);

}  // namespace gbgreg::app

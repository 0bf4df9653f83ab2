// What differs between the settings that a worker or a server has and those that it is to have, in words for people,
// and whether it can go on with the new ones. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "fleet/options.h"

namespace gbgreg::fleet {

enum class Difference : std::uint8_t {
  none,
  adjusts,   // It takes the new settings as it is.
  replaces,  // Its process has them from its start, so it takes another process.
};

struct Change {
  Difference difference = Difference::none;
  std::string words = {};  // "slots 8 instead of 4, objective_ms 3000 instead of 5000"; empty when there is none.
};

// Both are as the configuration has them: where the files of a stored model lie is no setting.
Change compare(const WorkerOptions& before, const WorkerOptions& after);

// Of a server itself; its models are compared one by one. Its key is never among the words. `replaces` is said of one
// that is somewhere else, or is spoken to otherwise: what is known of the old one says nothing of the new one.
Change compare(const ServerOptions& before, const ServerOptions& after);
Change compare(const OutsideModelOptions& before, const OutsideModelOptions& after);

}  // namespace gbgreg::fleet

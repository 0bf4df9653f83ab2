// A task that goes on for ever, in rounds, and that no failure of one round ends. One I/O thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "core/core.h"

namespace gbgreg::net {

// What a round says about the next one.
enum class NextRound : std::uint8_t { at_once, after_pause, never };

// Runs `round` again and again until it says never. An exception out of it is logged under `name` and followed by a
// pause: out of memory must neither end the task nor let it spin.
Task<void> run_rounds(Executor executor, std::string name, std::chrono::milliseconds pause,
                      std::function<Task<NextRound>()> round);

}  // namespace gbgreg::net

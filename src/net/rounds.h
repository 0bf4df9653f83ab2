// A task that goes on for ever, in rounds, and that no exception out of one round ends. One I/O thread.
//
// One failure ends every task of Asio's, this one too: when there is no memory to begin a wait, the exception passes by
// the coroutine and its frames are destroyed. Whoever needs the task for ever has to notice that (Accepting in
// server.cc).
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

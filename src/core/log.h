// The log: one line an event on standard error, through spdlog from anywhere. Lines are written together, within a
// second; a warning takes those before it along at once.
#pragma once

#include <string_view>

namespace gbgreg {

// `level`: trace, debug, info, warn, error, off; anything else is info. Call it once, before other threads start.
// Control characters in a message come out escaped, so that nothing foreign can forge a line of the log.
void set_up_log(std::string_view level);
// Another level, from now on. Any thread.
void set_log_level(std::string_view level);

}  // namespace gbgreg

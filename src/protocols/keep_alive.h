// Ollama's `keep_alive`: how long a model stays loaded without work. Pure.
#pragma once

#include <chrono>
#include <optional>

#include "core/core.h"
#include "protocols/json_reader.h"

namespace gbgreg::protocols {

// "5m", "1h30m", 300, 0.5, -1 (for ever): Go's durations, or seconds. Errors: malformed.
Result<void> read_keep_alive(JsonValue& value, std::optional<std::chrono::milliseconds>& out);

}  // namespace gbgreg::protocols

// What a llama-server worker means when it refuses, fails, or says what cannot be understood. Private to what reads its
// answers. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "protocols/json_reader.h"

namespace gbgreg::protocols::engine_wire {

// What the reader of JSON calls what a worker said.
inline constexpr std::string_view kEvent = "The worker's event";

// The worker's own error object, or a bare string.
struct EngineError {
  std::optional<int> code = {};
  std::string message = {};
  std::string type = {};
  std::optional<int> prompt_tokens = {}, context_tokens = {};
};
Result<void> read_engine_error(JsonValue& value, EngineError& error);

// What it means for the client, under this status.
Error understood(int status, const EngineError& error);

// The worker's answer cannot be understood: `what` and the first bytes of what was `seen` go into the detail.
Error garbled(std::string what, std::string_view seen = {});

// Whether `part`, in small letters, stands in `text`, in any.
bool contains(std::string_view text, std::string_view part);

}  // namespace gbgreg::protocols::engine_wire

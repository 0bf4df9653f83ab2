// An answer that passes through from a worker to a client of the same dialect (OpenAI's), whole or as a stream.
#pragma once

#include "core/core.h"
#include "http/answering.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "services/generate.h"

namespace gbgreg::http {

// Which of OpenAI's two ways of asking.
enum class Relayed : std::uint8_t { chat, completion };

// Reads what is asked, sends it on and answers the call with what comes back. Otherwise as answer() in answering.h.
Task<Result<void>> relay(Call& call, JsonReading& json, services::Generate& generate, const Clock& clock, Relayed what);

}  // namespace gbgreg::http

// An answer that passes through from a worker to a client of the same dialect (OpenAI's), whole or as a stream.
#pragma once

#include "core/core.h"
#include "http/answering.h"
#include "http/call.h"
#include "protocols/openai.h"
#include "services/generate.h"

namespace gbgreg::http {

// Which of OpenAI's two ways of asking.
enum class Relayed : std::uint8_t { chat, completion };

// Sends `asked` on and answers the call with what comes back. Otherwise as answer() in answering.h.
Task<Result<void>> relay(Call& call, services::Generate& generate, const Clock& clock, protocols::openai::Asked asked,
                         Relayed what);

}  // namespace gbgreg::http

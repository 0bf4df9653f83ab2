// The items of a conversation in OpenAI's responses, put together to messages. Used by openai_responses_request.cc
// only.
#pragma once

#include "core/core.h"
#include "protocols/json_reader.h"
#include "protocols/openai_responses.h"
#include "protocols/options.h"

namespace gbgreg::protocols::openai_responses {

// A text, or [{"type":"message",…}, {"type":"function_call",…}, …]: replaces asked.request.messages and asked.files.
// What an assistant thought, said and called without anybody between becomes one message. Errors: as parse_response.
Result<void> read_input(JsonValue& value, const Limits& limits, Asked& asked);

}  // namespace gbgreg::protocols::openai_responses

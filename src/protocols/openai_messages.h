// The messages of OpenAI's chat: content in parts, images as data URLs, calls of tools and their results.
#pragma once

#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/json_reader.h"
#include "protocols/options.h"

namespace gbgreg::protocols::openai {

// [{"role","content",…}, …], replacing what is in `messages`. `as_they_are` becomes false when a worker would not
// understand the very bytes: a role or a part that only we know, or an image that is wider than it may be told.
// Errors: malformed (invalid_field; an image that is not a data URL, since nothing a client names is fetched),
// too_large, refused (image_not_understood).
Result<void> read_chat_messages(JsonValue& value, const Limits& limits, std::vector<llm::Message>& messages,
                                bool& as_they_are);

// "data:image/png;base64,…", into an image. Errors: as above.
Result<void> read_image_url(JsonValue& value, const Limits& limits, llm::Image& image);

}  // namespace gbgreg::protocols::openai

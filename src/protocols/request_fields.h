// The parts of a request that several dialects have in common, read in the same way: sampling options, images,
// messages, and our own additions. Used by the dialects' files only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/json_reader.h"
#include "protocols/options.h"

namespace gbgreg::protocols {

// Ollama's `options`. What only a reload of the model could honour goes to request.ignored_options by name; what is
// unknown is passed over.
Result<void> read_options(JsonValue& value, const Limits& limits, llm::Request& request);

// ["base64", …], replacing what is in `images`. Errors: malformed, too_large (too_many_images, image_too_large),
// refused (image_not_understood: the first bytes are not those of a PNG, JPEG, WebP, GIF or BMP).
Result<void> read_images(JsonValue& value, const Limits& limits, std::vector<llm::Image>& images);

// [{"role","content","images"?,"tool_calls"?, …}, …], replacing what is in `messages`. Content may be an array of text
// parts.
Result<void> read_messages(JsonValue& value, const Limits& limits, std::vector<llm::Message>& messages);

// "json", a JSON schema, or "" for none.
Result<void> read_format(JsonValue& value, const Limits& limits, llm::Request& request);

// Stop sequences: one string or a few.
Result<void> read_stops(JsonValue& value, const Limits& limits, std::vector<std::string>& stops);

// "none", "minimal" … "max": how hard to think. None at all is the one level that a worker can be told of.
Result<void> read_effort(JsonValue& value, std::optional<std::string>& effort);

// "interactive" or "batch".
Result<void> read_priority(JsonValue& value, llm::Priority& priority);

// project_id, which a later version honours: anything but empty is refused rather than left out silently.
Result<void> read_not_yet(JsonValue& value);

// Errors: too_large text_too_large when the messages together exceed limits.text_bytes_max.
Result<void> check_text_size(const llm::Request& request, const Limits& limits);

// An image in base64 that stands in `value`. Errors: as read_images.
Result<void> take_image(const JsonValue& value, std::string_view base64, const Limits& limits, llm::Image& image);
std::unexpected<Error> too_many_images(const JsonValue& value, const Limits& limits);

// "image/png" … told from the first bytes, or empty.
std::string_view sniff_image(std::string_view first_bytes);

}  // namespace gbgreg::protocols

// The body that /api/generate, /api/chat and /api/route have in common, as it stands in the JSON. ollama.cc and
// native.cc make of it what their routes mean.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/options.h"

namespace gbgreg::protocols {

// Where the question stands: in "prompt", in "messages", or in either.
enum class AskForm : std::uint8_t { prompt, messages, prompt_or_messages };

struct AskBody {
  // At least one message, but for the form `messages`; the last one is the user's prompt unless `messages` were given.
  llm::Request request;
  bool model_named = false;
  std::optional<bool> stream = {};
  std::optional<std::chrono::milliseconds> keep_alive = {};
  std::string session_id = {};
  std::vector<std::string> upload_ids = {};  // In lower case, each once, in the order in which they were named.
};

// Errors: see ollama::parse_generate.
Result<AskBody> parse_ask(std::string_view body, const Limits& limits, AskForm form);

}  // namespace gbgreg::protocols

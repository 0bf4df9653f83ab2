// The body that /api/generate and /api/route have in common, as it stands in the JSON. ollama.cc and native.cc make of
// it what their routes mean.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/options.h"

namespace gbgreg::protocols {

// Whether the question may also come as {"messages":[…]}.
enum class AskForm : std::uint8_t { prompt, prompt_or_messages };

struct AskBody {
  llm::Request request;  // At least one message; the last one is the user's prompt unless `messages` were given.
  bool model_named = false;
  std::optional<bool> stream = {};
  std::optional<std::chrono::milliseconds> keep_alive = {};
  std::string session_id = {};
};

// Errors: see ollama::parse_generate.
Result<AskBody> parse_ask(std::string_view body, const Limits& limits, AskForm form);

}  // namespace gbgreg::protocols

// Texts to vectors: what is asked and what comes back, in nobody's dialect. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"

namespace gbgreg::llm {

// Tokens by the numbers that they have in the vocabulary of the model that is asked.
using TokenIds = std::vector<std::int32_t>;

// A text, or a text that its sender has cut into tokens, special ones included.
using EmbedInput = std::variant<std::string, TokenIds>;

// What becomes of a text with more tokens than the model takes.
enum class TooLong : std::uint8_t { refuse, cut };

struct EmbedRequest {
  std::string id = {};         // The request id of this exchange.
  std::string model = "auto";  // "auto", a role, or a concrete model name.
  std::vector<EmbedInput> inputs = {};
  std::optional<int> dimensions = {};  // The vectors are to have so many numbers.
  TooLong too_long = TooLong::refuse;
  Priority priority = Priority::interactive;
  Caller* caller = nullptr;  // As Request's, and so are these.
  std::optional<int> deadline_ms = {};
  std::vector<std::string> ignored_options = {};
};

using Vector = std::vector<float>;

// What a backend makes of some inputs.
struct EmbedBatch {
  std::vector<Vector> vectors = {};  // One for each, in their order; all finite, and of one length.
  int prompt_tokens = 0;
};

// What a request comes to.
struct Embeddings {
  std::vector<Vector> vectors = {};  // One for each input, in their order; of unit length.
  int prompt_tokens = 0;
  AnswerNotes notes = {};
  std::chrono::nanoseconds load{0};  // Waited for the model to be loaded.
};

}  // namespace gbgreg::llm

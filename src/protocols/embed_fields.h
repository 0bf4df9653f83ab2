// The parts of a request for embeddings that both dialects have in common. Used by the dialects' files only.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "core/core.h"
#include "llm/embedding.h"
#include "protocols/json_reader.h"
#include "protocols/options.h"

namespace gbgreg::protocols {

// Takes the inputs of a request one by one and keeps them within the bounds.
class EmbedInputs {
 public:
  // They go into `inputs`, which is emptied. Both outlive this.
  EmbedInputs(const Limits& limits, std::vector<llm::EmbedInput>& inputs) : limits_(limits), inputs_(inputs) {
    inputs_.clear();
  }

  // Errors: malformed (no string, too many), too_large (input_too_large, text_too_large).
  Result<void> add_text(JsonValue& value);
  // The tokens of one more input begin …
  Result<void> begin_tokens();
  // … and this is one of them. Errors: malformed.
  Result<void> add_token(JsonValue& value);

 private:
  Result<void> make_room() const;

  const Limits& limits_;
  std::vector<llm::EmbedInput>& inputs_;
  std::size_t text_bytes_ = 0;
  std::size_t tokens_ = 0;
};

// Whole, from 1 to what no model has.
Result<void> read_dimensions(JsonValue& value, std::optional<int>& dimensions);

}  // namespace gbgreg::protocols

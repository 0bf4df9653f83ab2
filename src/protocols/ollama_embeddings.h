// Ollama's POST /api/embed and its older form POST /api/embeddings, in and out. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/core.h"
#include "llm/embedding.h"
#include "protocols/embeddings_writer.h"
#include "protocols/options.h"

namespace gbgreg::protocols::ollama {

// /api/embed takes `input`, one text or several; /api/embeddings takes `prompt`, one text.
enum class EmbedForm : std::uint8_t { several, one };

struct EmbedAsked {
  llm::EmbedRequest request;
  bool leaves_at_once = false;  // Its keep_alive is zero.
};

// Without inputs nothing is asked: the model is to be loaded, or unloaded when its keep_alive is zero, and the answer
// holds no vectors. A text that is too long is cut unless `truncate` is false. Errors, each naming the field at fault:
// malformed (invalid_json, invalid_field, prompt_missing), too_large.
Result<EmbedAsked> parse_embed(std::string_view body, const Limits& limits, EmbedForm form);

class EmbedWriter final : public EmbeddingsWriter {
 public:
  explicit EmbedWriter(EmbedForm form) : form_(form) {}
  void begin(std::string& out, const llm::Embeddings& answer) override;
  void vector(std::string& out, std::size_t index, std::span<const float> numbers) override;
  void end(std::string& out, const llm::Embeddings& answer) override;

 private:
  EmbedForm form_;
};

}  // namespace gbgreg::protocols::ollama

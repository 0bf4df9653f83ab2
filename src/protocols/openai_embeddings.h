// OpenAI's POST /v1/embeddings, in and out. Pure; any thread.
//
// Not passed through as the other routes are (openai.h): inputs go to a worker in small portions, so the answer is put
// together here in any case.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/core.h"
#include "llm/embedding.h"
#include "protocols/embeddings_writer.h"
#include "protocols/options.h"

namespace gbgreg::protocols::openai {

// How a vector is written: as numbers, or as the base64 of its little-endian 32-bit floats, which the official clients
// ask for when they are not told which.
enum class Encoding : std::uint8_t { numbers, base64 };

struct EmbeddingsAsked {
  llm::EmbedRequest request;
  Encoding encoding = Encoding::numbers;
};

// `input` is a text, texts, tokens, or lists of tokens. Errors, each naming the field at fault: malformed
// (invalid_json, invalid_field; an empty input), too_large.
Result<EmbeddingsAsked> parse_embeddings(std::string_view body, const Limits& limits);

class EmbeddingsListWriter final : public EmbeddingsWriter {
 public:
  explicit EmbeddingsListWriter(Encoding encoding) : encoding_(encoding) {}
  void begin(std::string& out, const llm::Embeddings& answer) override;
  void vector(std::string& out, std::size_t index, std::span<const float> numbers) override;
  void end(std::string& out, const llm::Embeddings& answer) override;

 private:
  Encoding encoding_;
};

}  // namespace gbgreg::protocols::openai

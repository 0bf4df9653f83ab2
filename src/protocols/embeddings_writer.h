// How a dialect writes vectors: their frame and then one after another, so that a large answer needs not be held as
// text.
//
// One object writes one answer; each dialect derives its own. Pure; one task uses it at a time.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "llm/embedding.h"

namespace gbgreg::protocols {

class EmbeddingsWriter {
 public:
  virtual ~EmbeddingsWriter() = default;
  // Each appends to `out`; all together are one JSON text.
  virtual void begin(std::string& out, const llm::Embeddings& answer) = 0;
  virtual void vector(std::string& out, std::size_t index, std::span<const float> numbers) = 0;
  virtual void end(std::string& out, const llm::Embeddings& answer) = 0;
};

// [0.5,-0.25]: each number as the double that it is, so that whoever reads it has the very same one.
void append_numbers(std::string& out, std::span<const float> numbers);

}  // namespace gbgreg::protocols

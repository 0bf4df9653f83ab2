// What a model's GGUF file says of the memory it will need: how large its weights are, tensor by tensor, and what its
// cache holds of each token. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <istream>
#include <optional>
#include <string>

namespace gbgreg::fleet {

struct ModelShape {
  std::string architecture = {};
  int layers = 0;
  int embedding_numbers = 0;
  int feed_forward_numbers = 0;  // Of the widest layer.
  int vocabulary = 0;            // By the table of embeddings.
  bool has_gate = false;         // In its feed-forward layers.
  bool is_causal = true;         // One that is not keeps no cache.

  std::int64_t weight_bytes = 0;      // All tensors.
  std::int64_t input_bytes = 0;       // Of them the table of embeddings, which stays in the host's memory …
  bool ties_output = false;           // … and is wanted a second time on a card, when there is no output matrix.
  std::int64_t repackable_bytes = 0;  // Of them those that the engine copies into another order on an AVX2 processor.

  // Numbers that the cache holds of each token, keys and values, over all layers: those that see everything, and those
  // that see a window of the latest tokens.
  std::int64_t cache_numbers = 0;
  std::int64_t window_cache_numbers = 0;
  int window_tokens = 0;

  bool operator==(const ModelShape&) const = default;
};

// Absent when it is no GGUF file, or when one of the numbers that count is missing or absurd. Takes any bytes. A model
// in several files (name-00001-of-00003.gguf) has a shape of each; see below.
std::optional<ModelShape> read_model_shape(std::istream& file);
// The same of a file, with those that belong to it when it is the first of several. Blocks for as long as the first
// megabytes of each take.
std::optional<ModelShape> read_model_shape(const std::filesystem::path& file);

// How long a GGUF file has to be for all of its tensors to lie in it; absent as above, but for numbers of the model.
std::optional<std::int64_t> read_file_bytes(std::istream& file);

// The bytes of all tensors of a file of which no more needs to be known: a vision projector.
std::optional<std::int64_t> read_weight_bytes(std::istream& file);
std::optional<std::int64_t> read_weight_bytes(const std::filesystem::path& file);

}  // namespace gbgreg::fleet

// What a model's GGUF file says of itself, as far as a worker has to know it before it starts. Any thread.
#pragma once

#include <filesystem>
#include <istream>
#include <optional>
#include <string>

#include "fleet/options.h"

namespace gbgreg::fleet {

struct ModelFacts {
  std::string architecture = {};              // "bert"; empty when not known.
  std::optional<int> context_tokens = {};     // What it was trained for.
  std::optional<int> embedding_numbers = {};  // In its vectors.
  std::optional<Pooling> pooling = {};        // Absent, too, when it declares one that makes no vector of a text.

  bool operator==(const ModelFacts&) const = default;
};

// Reads the metadata up to its end, to the bound, or to what cannot be understood; what was not found is absent. The
// weights behind it are not looked at. Takes any bytes.
ModelFacts read_model_facts(std::istream& file);
// The same of a file, which need not exist. Blocks for as long as its first megabytes take.
ModelFacts read_model_facts(const std::filesystem::path& file);

}  // namespace gbgreg::fleet

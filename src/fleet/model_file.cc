#include "fleet/model_file.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string_view>

#include "fleet/gguf_reader.h"

namespace gbgreg::fleet {
namespace {

constexpr std::size_t kNameBytesMax = 64;  // Of an architecture.

// "nomic-bert-moe": it becomes a part of keys and texts that others read.
bool is_of_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

std::optional<int> positive(std::uint32_t value) {
  if (value == 0 || value > static_cast<std::uint32_t>(std::numeric_limits<int>::max())) return std::nullopt;
  return static_cast<int>(value);
}

// The engine's numbers: 0 makes no vector of a text, nor does 4, which ranks one.
std::optional<Pooling> pooling_of(std::uint32_t value) {
  switch (value) {
    case 1:
      return Pooling::mean;
    case 2:
      return Pooling::cls;
    case 3:
      return Pooling::last;
    default:
      return std::nullopt;
  }
}

// Of "bert.pooling_type" the last part, when the file's architecture is "bert".
std::string_view own_key(std::string_view key, std::string_view architecture) {
  const bool is_own = !architecture.empty() && key.size() > architecture.size() && key.starts_with(architecture) &&
                      key[architecture.size()] == '.';
  return is_own ? key.substr(architecture.size() + 1) : std::string_view{};
}

void read_entry(GgufReader& bytes, ModelFacts& facts) {
  const std::string key = bytes.text(GgufReader::kKeyBytesMax);
  const auto type = bytes.number<std::uint32_t>();
  if (key == "general.architecture" && type == static_cast<std::uint32_t>(GgufType::text)) {
    facts.architecture = bytes.text(kNameBytesMax);
    if (!std::ranges::all_of(facts.architecture, is_of_a_name)) facts.architecture.clear();
    return;
  }
  // It stands before the keys that bear its name.
  const std::string_view own = own_key(key, facts.architecture);
  const bool is_wanted = own == "context_length" || own == "embedding_length" || own == "pooling_type";
  if (!is_wanted || type != static_cast<std::uint32_t>(GgufType::uint32)) return bytes.skip_value(type);
  const auto value = bytes.number<std::uint32_t>();
  if (!bytes.good()) return;
  if (own == "context_length") facts.context_tokens = positive(value);
  if (own == "embedding_length") facts.embedding_numbers = positive(value);
  if (own == "pooling_type") facts.pooling = pooling_of(value);
}

}  // namespace

ModelFacts read_model_facts(std::istream& file) {
  GgufReader bytes(file);
  const GgufCounts counts = bytes.begin();
  ModelFacts facts;
  for (std::uint64_t i = 0; bytes.good() && i < counts.entries; ++i) read_entry(bytes, facts);
  return facts;
}

ModelFacts read_model_facts(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return read_model_facts(stream);
}

}  // namespace gbgreg::fleet

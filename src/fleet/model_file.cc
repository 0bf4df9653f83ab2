#include "fleet/model_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string_view>

namespace gbgreg::fleet {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint32_t kVersionMin = 2;  // Version 1 counted in 32 bits; no engine reads it any more.
constexpr std::uint32_t kVersionMax = 3;
constexpr std::size_t kKeyBytesMax = 65'535;  // The format's own bound.
constexpr std::size_t kNameBytesMax = 64;     // Of an architecture.

enum class Type : std::uint32_t { uint32 = 4, text = 8, array = 9 };

// Bytes of a value of each type; 0 for those that have no fixed size, or are none.
constexpr std::size_t bytes_of(std::uint32_t type) {
  constexpr std::array<std::size_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
}

// Reads a bounded part of a file from its beginning. After the first failure all that follows fails.
class Bytes {
 public:
  explicit Bytes(std::istream& file) : file_(file) {}

  bool good() const { return good_; }

  template <class Number>
  Number number() {
    std::array<char, sizeof(Number)> bytes{};
    if (!take(bytes.size()) || !file_.read(bytes.data(), bytes.size())) good_ = false;
    if (!good_) return 0;
    auto value = std::bit_cast<Number>(bytes);
    if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
    return value;
  }

  std::string text(std::size_t bytes_max) {
    const auto bytes = number<std::uint64_t>();
    if (bytes > bytes_max) good_ = false;
    if (!good_ || !take(bytes)) return {};
    std::string text(bytes, '\0');
    if (!file_.read(text.data(), static_cast<std::streamsize>(bytes))) good_ = false;
    return good_ ? text : std::string{};
  }

  void skip(std::uint64_t bytes) {
    if (!take(bytes)) return;
    file_.ignore(static_cast<std::streamsize>(bytes));
    if (file_.gcount() != static_cast<std::streamsize>(bytes)) good_ = false;
  }

  // A value of the type, whatever it is.
  void skip_value(std::uint32_t type) {
    if (type == static_cast<std::uint32_t>(Type::text)) return skip(number<std::uint64_t>());
    if (type == static_cast<std::uint32_t>(Type::array)) return skip_array();
    fail_unless(bytes_of(type) > 0);
    skip(bytes_of(type));
  }

  void fail_unless(bool holds) { good_ = good_ && holds; }

 private:
  void skip_array() {
    const auto type = number<std::uint32_t>();
    const auto count = number<std::uint64_t>();
    if (type == static_cast<std::uint32_t>(Type::text)) {
      for (std::uint64_t i = 0; good_ && i < count; ++i) skip(number<std::uint64_t>());
      return;
    }
    // Arrays of arrays are allowed, and nobody writes them.
    const std::size_t bytes = bytes_of(type);
    fail_unless(bytes > 0 && count <= kModelMetadataBytesMax);
    if (good_) skip(count * bytes);
  }

  bool take(std::uint64_t bytes) {
    if (bytes > left_) good_ = false;
    if (good_) left_ -= bytes;
    return good_;
  }

  std::istream& file_;
  std::uint64_t left_ = kModelMetadataBytesMax;
  bool good_ = true;
};

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

void read_entry(Bytes& bytes, ModelFacts& facts) {
  const std::string key = bytes.text(kKeyBytesMax);
  const auto type = bytes.number<std::uint32_t>();
  if (key == "general.architecture" && type == static_cast<std::uint32_t>(Type::text)) {
    facts.architecture = bytes.text(kNameBytesMax);
    if (!std::ranges::all_of(facts.architecture, is_of_a_name)) facts.architecture.clear();
    return;
  }
  // It stands before the keys that bear its name.
  const std::string_view own = own_key(key, facts.architecture);
  const bool is_wanted = own == "context_length" || own == "embedding_length" || own == "pooling_type";
  if (!is_wanted || type != static_cast<std::uint32_t>(Type::uint32)) return bytes.skip_value(type);
  const auto value = bytes.number<std::uint32_t>();
  if (!bytes.good()) return;
  if (own == "context_length") facts.context_tokens = positive(value);
  if (own == "embedding_length") facts.embedding_numbers = positive(value);
  if (own == "pooling_type") facts.pooling = pooling_of(value);
}

}  // namespace

ModelFacts read_model_facts(std::istream& file) {
  Bytes bytes(file);
  std::array<char, kMagic.size()> magic{};
  for (char& byte : magic) byte = static_cast<char>(bytes.number<std::uint8_t>());
  const auto version = bytes.number<std::uint32_t>();
  bytes.fail_unless(std::string_view(magic.data(), magic.size()) == kMagic && version >= kVersionMin &&
                    version <= kVersionMax);
  bytes.skip(sizeof(std::uint64_t));  // How many tensors there are.
  const auto entries = bytes.number<std::uint64_t>();
  ModelFacts facts;
  for (std::uint64_t i = 0; bytes.good() && i < entries; ++i) read_entry(bytes, facts);
  return facts;
}

ModelFacts read_model_facts(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return read_model_facts(stream);
}

}  // namespace gbgreg::fleet

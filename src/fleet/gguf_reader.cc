#include "fleet/gguf_reader.h"

#include <array>
#include <bit>
#include <string_view>

namespace gbgreg::fleet {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint32_t kVersionMin = 2;  // Version 1 counted in 32 bits; no engine reads it any more.
constexpr std::uint32_t kVersionMax = 3;

// Bytes of a value of each type; 0 for those that have no fixed size, or are none.
constexpr std::size_t bytes_of(std::uint32_t type) {
  constexpr std::array<std::size_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
}

}  // namespace

GgufCounts GgufReader::begin() {
  std::array<char, kMagic.size()> magic{};
  for (char& byte : magic) byte = static_cast<char>(number<std::uint8_t>());
  const auto version = number<std::uint32_t>();
  fail_unless(std::string_view(magic.data(), magic.size()) == kMagic && version >= kVersionMin &&
              version <= kVersionMax);
  GgufCounts counts;
  counts.tensors = number<std::uint64_t>();
  counts.entries = number<std::uint64_t>();
  return counts;
}

template <class Number>
Number GgufReader::number() {
  std::array<char, sizeof(Number)> bytes{};
  if (!take(bytes.size()) || !file_.read(bytes.data(), bytes.size())) good_ = false;
  if (!good_) return 0;
  auto value = std::bit_cast<Number>(bytes);
  if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
  return value;
}

template std::uint8_t GgufReader::number<std::uint8_t>();
template std::uint32_t GgufReader::number<std::uint32_t>();
template std::uint64_t GgufReader::number<std::uint64_t>();

std::string GgufReader::text(std::size_t bytes_max) {
  const auto bytes = number<std::uint64_t>();
  if (bytes > bytes_max) good_ = false;
  if (!good_ || !take(bytes)) return {};
  std::string text(bytes, '\0');
  if (!file_.read(text.data(), static_cast<std::streamsize>(bytes))) good_ = false;
  return good_ ? text : std::string{};
}

void GgufReader::skip(std::uint64_t bytes) {
  if (!take(bytes)) return;
  file_.ignore(static_cast<std::streamsize>(bytes));
  if (file_.gcount() != static_cast<std::streamsize>(bytes)) good_ = false;
}

void GgufReader::skip_value(std::uint32_t type) {
  if (type == static_cast<std::uint32_t>(GgufType::text)) return skip(number<std::uint64_t>());
  if (type == static_cast<std::uint32_t>(GgufType::array)) return skip_array();
  fail_unless(bytes_of(type) > 0);
  skip(bytes_of(type));
}

void GgufReader::skip_array() {
  const auto type = number<std::uint32_t>();
  const auto count = number<std::uint64_t>();
  if (type == static_cast<std::uint32_t>(GgufType::text)) {
    for (std::uint64_t i = 0; good_ && i < count; ++i) skip(number<std::uint64_t>());
    return;
  }
  // Arrays of arrays are allowed, and nobody writes them.
  const std::size_t bytes = bytes_of(type);
  fail_unless(bytes > 0 && count <= kModelMetadataBytesMax);
  if (good_) skip(count * bytes);
}

bool GgufReader::take(std::uint64_t bytes) {
  if (bytes > left_) good_ = false;
  if (good_) left_ -= bytes;
  return good_;
}

}  // namespace gbgreg::fleet

#include "fleet/model_parts.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "fleet/gguf_reader.h"
#include "fleet/model_shape.h"

namespace gbgreg::fleet {
namespace {

constexpr std::string_view kOf = "-of-";
constexpr std::string_view kEnd = ".gguf";
constexpr std::size_t kDigits = 5;
constexpr std::size_t kPlaceBytes = 1 + kDigits + kOf.size() + kDigits;  // "-00001-of-00003"

// What a name says of its place among several.
struct Place {
  std::string before;  // "x"
  int number = 0;
  int count = 0;
};

std::optional<int> number_in(std::string_view digits) {
  int number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure != std::errc() || end != digits.data() + digits.size() || number < 0) return std::nullopt;
  return number;
}

std::optional<Place> place_of(const std::filesystem::path& file) {
  const std::string whole = file.filename().string();
  std::string_view name = whole;
  if (!name.ends_with(kEnd)) return std::nullopt;
  name.remove_suffix(kEnd.size());
  if (name.size() < kPlaceBytes) return std::nullopt;
  const std::string_view place = name.substr(name.size() - kPlaceBytes);
  if (place.front() != '-' || place.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = number_in(place.substr(1, kDigits));
  const auto count = number_in(place.substr(1 + kDigits + kOf.size()));
  if (!number || !count || *number < 1 || *number > *count || *count > kModelPartsMax) return std::nullopt;
  return Place{.before = std::string(name.substr(0, name.size() - kPlaceBytes)), .number = *number, .count = *count};
}

std::string padded(int number) {
  std::string digits = std::to_string(number);
  digits.insert(0, kDigits - digits.size(), '0');
  return digits;
}

std::string name_of(const Place& place, int number) {
  std::string name = place.before + "-" + padded(number);
  name.append(kOf).append(padded(place.count)).append(kEnd);
  return name;
}

}  // namespace

std::vector<std::filesystem::path> model_parts(const std::filesystem::path& first) {
  const auto place = place_of(first);
  if (!place || place->number != 1) return {first};
  std::vector<std::filesystem::path> parts;
  parts.reserve(static_cast<std::size_t>(place->count));
  for (int number = 1; number <= place->count; ++number) parts.push_back(first.parent_path() / name_of(*place, number));
  return parts;
}

std::string first_part_of(const std::filesystem::path& file) {
  const auto place = place_of(file);
  return place && place->number != 1 ? name_of(*place, 1) : std::string();
}

std::vector<std::filesystem::path> missing_parts(const std::filesystem::path& first) {
  std::vector<std::filesystem::path> missing = model_parts(first);
  std::erase_if(missing, [](const std::filesystem::path& part) {
    std::error_code ignored;
    return ::access(part.c_str(), R_OK) == 0 && std::filesystem::is_regular_file(part, ignored);
  });
  return missing;
}

std::int64_t model_file_bytes(const std::filesystem::path& first) {
  std::int64_t bytes = 0;
  for (const auto& part : model_parts(first)) {
    std::error_code unknown;
    const std::uintmax_t size = std::filesystem::file_size(part, unknown);
    if (!unknown) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

Wholeness wholeness_of(const std::filesystem::path& file) {
  std::error_code unknown;
  const std::uintmax_t size = std::filesystem::file_size(file, unknown);
  std::ifstream stream(file, std::ios::binary);
  if (unknown || !stream) return Wholeness::unknown;
  const auto wanted = read_file_bytes(stream);
  if (wanted) return size < static_cast<std::uint64_t>(*wanted) ? Wholeness::cut_short : Wholeness::whole;
  // The header itself ended before it had told everything.
  return stream.eof() ? Wholeness::cut_short : Wholeness::unknown;
}

}  // namespace gbgreg::fleet

// What an image has become once it is decoded. Values; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>
#include <vector>

#include "intake/options.h"

namespace gbgreg::jail {

// Why an image is not taken: a word that the gateway turns into an error.
struct Refusal {
  std::string_view code;
  bool operator==(const Refusal&) const = default;
};

inline constexpr Refusal kTypeUnknown{"image_type_unknown"};
inline constexpr Refusal kTooLarge{"image_too_large"};
inline constexpr Refusal kDamaged{"image_damaged"};
inline constexpr Refusal kReaderMissing{"text_reader_missing"};  // No fault of the image's.

template <class T>
using Looked = std::expected<T, Refusal>;

// Rows from the top down, without a gap between them, one byte for each of `bands`: 1 is grey, 3 is red, green, blue,
// and 4 has how opaque it is behind those.
struct Pixels {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint32_t bands = 3;
  std::vector<std::uint8_t> bytes = {};

  std::size_t row_bytes() const { return std::size_t{width} * bands; }
};

// Errors: damaged (a side of nothing), too large.
inline Looked<void> check_size(std::uint64_t width, std::uint64_t height, const intake::ImageLimits& limits) {
  if (width == 0 || height == 0) return std::unexpected(kDamaged);
  if (width > limits.side_max || height > limits.side_max) return std::unexpected(kTooLarge);
  if (width * height > limits.pixels_max) return std::unexpected(kTooLarge);
  return {};
}

}  // namespace gbgreg::jail

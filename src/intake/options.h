// Bounds of what may come as many files at once, and of one image, filled by config/.
#pragma once

#include <cstdint>

namespace gbgreg::intake {

struct ArchiveLimits {
  std::uint64_t entries_max = 50'000;            // `limits.archive_entries_max`
  std::uint64_t bytes_max = 1024 * 1024 * 1024;  // `limits.archive_bytes_max`: of all that is in it.
  std::uint64_t ratio_max = 200;                 // `limits.archive_ratio_max`: of what is in it to what it is, …
  std::uint64_t ratio_from_bytes = 1024 * 1024;  // … once more than this is in it.
  std::uint64_t depth_max = 32;                  // `limits.archive_depth_max`: components of a path.
  std::uint64_t seconds_max = 120;               // `limits.archive_seconds_max`

  bool operator==(const ArchiveLimits&) const = default;
};

struct ImageLimits {
  // Of an image, as its header says before a pixel is decoded.
  std::uint64_t pixels_max = 40'000'000;  // `limits.image_pixels_max`
  std::uint32_t side_max = 32'767;        // `limits.image_side_max`
  std::uint32_t shown_side_max = 1'568;   // `limits.image_shown_side_max`: of what a model is shown.
  std::uint64_t seconds_max = 60;         // `limits.image_seconds_max`

  bool operator==(const ImageLimits&) const = default;
};

}  // namespace gbgreg::intake

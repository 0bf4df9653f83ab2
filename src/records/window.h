// The times of which figures are asked for, and from which sums they are put together: large spans where they are
// whole, small ones at the edges and where the large are not made yet. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "storage/requests.h"

namespace gbgreg::records {

// Seconds since 1970, a whole number of minutes each.
struct Period {
  std::int64_t from = 0;
  std::int64_t to = 0;  // The first that does not belong to it.
  bool operator==(const Period&) const = default;
};

struct Window {
  std::string_view name;
  std::int64_t seconds;
  // Of a point of a series.
  std::int64_t bucket;
};
inline constexpr Window kWindows[] = {{.name = "1h", .seconds = 3'600, .bucket = 60},
                                      {.name = "24h", .seconds = 86'400, .bucket = 600},
                                      {.name = "7d", .seconds = 7 * 86'400, .bucket = 3'600},
                                      {.name = "30d", .seconds = 30 * 86'400, .bucket = 6 * 3'600}};

// Nothing for a name that is none of them.
std::optional<Window> window_named(std::string_view name);

// The window that ends with the minute of `now`. It begins with a bucket.
Period period_of(const Window& window, std::int64_t now);

struct Piece {
  storage::RollupSpan span;
  Period period;
  bool operator==(const Piece&) const = default;
};

// One that has no sums of its own yet.
struct OpenSpan {
  storage::RollupSpan span;
  std::int64_t start;
};

// What covers the period, each second once, in the order of time. `largest` is the largest span that may be used.
std::vector<Piece> pieces_of(const Period& period, storage::RollupSpan largest, std::span<const OpenSpan> open);

// The largest span of which a point of a series has a whole number. None of days, whose points would depend on where a
// day begins.
storage::RollupSpan largest_in(std::int64_t bucket);

}  // namespace gbgreg::records

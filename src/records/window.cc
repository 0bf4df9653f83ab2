#include "records/window.h"

#include <algorithm>
#include <set>
#include <utility>

namespace gbgreg::records {
namespace {

using storage::RollupSpan;

std::int64_t down_to(std::int64_t seconds, std::int64_t step) { return seconds - seconds % step; }
std::int64_t up_to(std::int64_t seconds, std::int64_t step) { return down_to(seconds + step - 1, step); }

// Longer than the last piece, or the last piece longer.
void add(std::vector<Piece>& pieces, const Piece& next) {
  if (next.period.from >= next.period.to) return;
  if (!pieces.empty() && pieces.back().span == next.span && pieces.back().period.to == next.period.from) {
    pieces.back().period.to = next.period.to;
    return;
  }
  pieces.push_back(next);
}

class Covering {
 public:
  // A span with an open one in it has not that one's sums, whatever else it has.
  explicit Covering(std::span<const OpenSpan> open) {
    for (const OpenSpan& one : open) {
      for (const RollupSpan span : storage::kPutTogether) {
        if (span >= one.span) open_.emplace(span, down_to(one.start, storage::seconds_of(span)));
      }
    }
  }

  void cover(const Period& period, RollupSpan largest) {
    if (largest == RollupSpan::minute) return add(pieces_, {.span = largest, .period = period});
    const std::int64_t step = storage::seconds_of(largest);
    const RollupSpan smaller = storage::next_smaller(largest);
    const std::int64_t first = up_to(period.from, step), behind = down_to(period.to, step);
    if (first >= behind) return cover(period, smaller);
    cover({.from = period.from, .to = first}, smaller);
    for (std::int64_t start = first; start < behind; start += step) {
      const Period one{.from = start, .to = start + step};
      if (open_.contains({largest, start}))
        cover(one, smaller);
      else
        add(pieces_, {.span = largest, .period = one});
    }
    cover({.from = behind, .to = period.to}, smaller);
  }

  std::vector<Piece> take() { return std::move(pieces_); }

 private:
  std::set<std::pair<RollupSpan, std::int64_t>> open_;
  std::vector<Piece> pieces_;
};

}  // namespace

std::optional<Window> window_named(std::string_view name) {
  const auto* const found = std::ranges::find(kWindows, name, &Window::name);
  if (found == std::end(kWindows)) return std::nullopt;
  return *found;
}

Period period_of(const Window& window, std::int64_t now) {
  const std::int64_t to = down_to(now, 60) + 60;
  return {.from = down_to(to - window.seconds, window.bucket), .to = to};
}

std::vector<Piece> pieces_of(const Period& period, RollupSpan largest, std::span<const OpenSpan> open) {
  Covering covering(open);
  covering.cover(period, largest);
  return covering.take();
}

RollupSpan largest_in(std::int64_t bucket) {
  RollupSpan largest = RollupSpan::six_hours;
  while (largest != RollupSpan::minute && bucket % storage::seconds_of(largest) != 0)
    largest = storage::next_smaller(largest);
  return largest;
}

}  // namespace gbgreg::records

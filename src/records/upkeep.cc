#include "records/upkeep.h"

#include <vector>

#include "records/sums.h"

namespace gbgreg::records {
namespace {

using storage::RollupRow;
using storage::RollupSpan;

// A span is put together some time after it is over, for records come a moment later.
constexpr std::int64_t kGrace = 30;
constexpr std::int64_t kDay = 86'400;
// Rows that go at once: whoever writes meanwhile waits for that.
constexpr int kForgottenAtOnce = 2'000;
constexpr int kForgottenTimes = 10;

std::int64_t kept_of(RollupSpan span) { return span <= RollupSpan::ten_minutes ? kMinuteSumsKept : kHourSumsKept; }

Result<void> put_together(storage::RequestStore& store, RollupSpan to, std::int64_t start) {
  const auto parts =
      store.rollups({.span = storage::next_smaller(to), .from = start, .to = start + storage::seconds_of(to)});
  if (!parts) return std::unexpected(parts.error());
  Sums sums;
  for (const RollupRow& part : *parts) {
    if (auto added = sums[{part.dimension, part.value}].add(part); !added) return added;
  }
  std::vector<RollupRow> rows;
  rows.reserve(sums.size());
  for (const auto& [of, sum] : sums) {
    RollupRow& row = rows.emplace_back(sum.row());
    row.span = to;
    row.start = start;
    row.dimension = of.first;
    row.value = of.second;
  }
  return store.replace_rollups(to, start, rows);
}

Result<void> put_together_all(storage::RequestStore& store, RollupSpan to, std::int64_t since, std::int64_t now) {
  const std::int64_t seconds = storage::seconds_of(to);
  const std::int64_t over = (now - kGrace) - (now - kGrace) % seconds;
  const auto starts = store.not_rolled_up(to, since - since % seconds, over);
  if (!starts) return std::unexpected(starts.error());
  for (const std::int64_t start : *starts) {
    if (auto done = put_together(store, to, start); !done) return done;
  }
  return {};
}

Result<void> forget_rows(storage::RequestStore& store, WallTime before) {
  const std::string id_below = first_uuid_of(before);
  for (int i = 0; i < kForgottenTimes; ++i) {
    const auto gone = store.forget_rows(id_below, kForgottenAtOnce);
    if (!gone) return std::unexpected(gone.error());
    if (*gone < kForgottenAtOnce) return {};
  }
  return {};
}

}  // namespace

Result<void> keep_up(storage::RequestStore& store, WallTime now, std::chrono::days kept) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  // The smaller before those that are made of them.
  for (const RollupSpan span : storage::kPutTogether) {
    if (auto done = put_together_all(store, span, seconds - kept_of(storage::next_smaller(span)), seconds); !done) {
      return done;
    }
  }
  // What is made of them has been put together by then.
  for (const RollupSpan span : {RollupSpan::minute, RollupSpan::ten_minutes, RollupSpan::hour, RollupSpan::six_hours}) {
    // A list finds its rows by the sums of hours.
    const auto needed = span == RollupSpan::hour ? std::chrono::seconds(kept).count() : std::int64_t{0};
    if (auto gone = store.forget_rollups(span, seconds - std::max(kept_of(span), needed) - 2 * kDay); !gone) {
      return std::unexpected(gone.error());
    }
  }
  return forget_rows(store, now - kept);
}

}  // namespace gbgreg::records

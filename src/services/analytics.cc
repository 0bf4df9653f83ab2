#include "services/analytics.h"

#include <iterator>
#include <utility>

namespace gbgreg::services {
namespace {

using records::Period;
using records::Sum;
using records::Sums;
using records::Window;
using storage::RollupRow;
using storage::RollupSpan;

std::int64_t seconds_since_1970(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

Task<Result<Summary>> Analytics::summary(Window window) {
  co_return co_await offload(pool_, [this, window] { return summary_now(window); });
}

Task<Result<Series>> Analytics::series(Window window, std::string dimension) {
  auto work = [this, window, dimension = std::move(dimension)] { return series_now(window, dimension); };
  co_return co_await offload(pool_, std::move(work));
}

Task<Result<storage::RequestPage>> Analytics::requests(storage::RequestQuery query) {
  auto work = [this, query = std::move(query)] { return requests_.list(query); };
  co_return co_await offload(pool_, std::move(work));
}

Task<Result<OneRequest>> Analytics::request(std::string id) {
  auto work = [this, id = std::move(id)]() -> Result<OneRequest> {
    auto row = requests_.find(id);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return fail(Kind::not_found, "request_not_found", "No request of this id is on record.");
    auto texts = texts_.find(id);
    if (!texts) return std::unexpected(std::move(texts.error()));
    return OneRequest{.row = std::move(**row), .texts = std::move(*texts)};
  };
  co_return co_await offload(pool_, std::move(work));
}

Result<Summary> Analytics::summary_now(const Window& window) {
  Summary summary{.period = records::period_of(window, seconds_since_1970(clock_.wall())), .sums = {}, .uploads = {}};
  const auto rows = read(summary.period, RollupSpan::day, "");
  if (!rows) return std::unexpected(rows.error());
  for (const RollupRow& row : *rows) {
    if (auto added = summary.sums[{row.dimension, row.value}].add(row); !added) {
      return std::unexpected(std::move(added.error()));
    }
  }
  const WallTime from{std::chrono::seconds(summary.period.from)};
  auto uploads = uploads_.totals(first_uuid_of(from));
  if (!uploads) return std::unexpected(std::move(uploads.error()));
  summary.uploads = std::move(*uploads);
  return summary;
}

Result<Series> Analytics::series_now(const Window& window, const std::string& dimension) {
  Series series{
      .period = records::period_of(window, seconds_since_1970(clock_.wall())), .bucket = window.bucket, .points = {}};
  const auto rows = read(series.period, records::largest_in(window.bucket), dimension);
  if (!rows) return std::unexpected(rows.error());
  for (const RollupRow& row : *rows) {
    Sum& point = series.points[row.value][row.start - row.start % window.bucket];
    if (auto added = point.add(row); !added) return std::unexpected(std::move(added.error()));
  }
  return series;
}

Result<std::vector<RollupRow>> Analytics::read(const Period& period, RollupSpan largest, const std::string& dimension) {
  std::vector<records::OpenSpan> open;
  for (const RollupSpan span : storage::kPutTogether) {
    if (span > largest) break;
    const auto starts = requests_.not_rolled_up(span, period.from, period.to);
    if (!starts) return std::unexpected(starts.error());
    for (const std::int64_t start : *starts) open.push_back({.span = span, .start = start});
  }
  std::vector<RollupRow> all;
  for (const records::Piece& piece : records::pieces_of(period, largest, open)) {
    auto rows = requests_.rollups(
        {.span = piece.span, .from = piece.period.from, .to = piece.period.to, .dimension = dimension});
    if (!rows) return std::unexpected(std::move(rows.error()));
    all.insert(all.end(), std::make_move_iterator(rows->begin()), std::make_move_iterator(rows->end()));
  }
  return all;
}

}  // namespace gbgreg::services

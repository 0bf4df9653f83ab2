// Lists of requests. A row has no index but that of its id, for each would cost as much as the row: what a list filters
// by is looked for only in those hours in which, by the sums, there was such a request.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <utility>

#include "core/core.h"
#include "storage/bound_request.h"
#include "storage/columns.h"
#include "storage/requests.h"

namespace gbgreg::storage {
namespace {

using Number = long long;

constexpr std::int64_t kMinute = 60, kHour = 3'600;
constexpr int kHundred = 100;

// One of what a list asks for: a column of a row, and the values of a dimension of sums.
struct Filter {
  std::string column;
  std::string dimension;
  std::string first, last;                     // Of the dimension's values, in the order of their bytes.
  Number status_from = 0, status_through = 0;  // Of the column `status`.
};

std::vector<Filter> filters_of(const RequestQuery& query) {
  std::vector<Filter> filters;
  const std::tuple<const char*, const char*, const std::string&> texts[] = {{"role", "role", query.role},
                                                                            {"model", "model", query.model},
                                                                            {"key_id", "key", query.key_id},
                                                                            {"route", "route", query.route}};
  for (const auto& [column, dimension, value] : texts) {
    if (value.empty()) continue;
    filters.push_back({.column = column, .dimension = dimension, .first = value, .last = value});
  }
  if (query.status == 0) return filters;
  const bool is_hundred = query.status < 10;
  const Number from = is_hundred ? Number{query.status} * kHundred : query.status;
  const Number through = is_hundred ? from + kHundred - 1 : from;
  filters.push_back({.column = "status",
                     .dimension = "status",
                     .first = std::to_string(from),
                     .last = std::to_string(through),
                     .status_from = from,
                     .status_through = through});
  return filters;
}

// Finds the hours in which there was such a request.
class Hours {
 public:
  Hours(soci::session& session, const std::vector<Filter>& filters) : session_(session), filters_(filters) {}

  // The start of the last hour, of those that begin at `at` or before, in which there was something for each filter,
  // though perhaps never for all at once. Nothing where there is none.
  std::optional<std::int64_t> last(std::int64_t at) {
    for (;;) {
      std::int64_t earliest = at - at % kHour;
      bool is_common = true;
      for (const Filter& filter : filters_) {
        const auto hour = last_of(filter, at);
        if (!hour) return std::nullopt;
        is_common = is_common && *hour == earliest;
        earliest = std::min(earliest, *hour);
      }
      if (is_common) return earliest;
      at = earliest + kHour - 1;
    }
  }

 private:
  // Sums of minutes go after some days, and those of hours are put together only when the hour is over.
  std::optional<std::int64_t> last_of(const Filter& filter, std::int64_t at) {
    const auto minute = last_start(filter, kMinute, at), hour = last_start(filter, kHour, at);
    if (!minute) return hour;
    return std::max(hour.value_or(0), *minute - *minute % kHour);
  }
  std::optional<std::int64_t> last_start(const Filter& filter, std::int64_t span, std::int64_t at) {
    Number start = 0, seconds = span, before = at;
    session_ << "SELECT start FROM gbgreg_request_rollups WHERE span = :span AND dimension = :dimension AND start <= "
                ":at AND value >= :first AND value <= :last ORDER BY start DESC LIMIT 1",
        soci::into(start), soci::use(seconds, "span"), soci::use(filter.dimension, "dimension"),
        soci::use(before, "at"), soci::use(filter.first, "first"), soci::use(filter.last, "last");
    if (!session_.got_data()) return std::nullopt;
    return start;
  }

  soci::session& session_;
  const std::vector<Filter>& filters_;
};

std::string first_id_of(std::int64_t seconds) { return first_uuid_of(WallTime{std::chrono::seconds(seconds)}); }

// When the row of this id ended, to the second: a UUIDv7 begins with its milliseconds.
std::int64_t seconds_of_id(std::string_view id) {
  constexpr std::size_t kHigh = 8, kLow = 4;
  constexpr int kHex = 16, kLowBits = 16, kMsPerSecond = 1000;
  const auto number = [](std::string_view digits) {
    std::uint64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, kHex);
    return value;
  };
  const std::uint64_t high = number(id.substr(0, kHigh)), low = number(id.substr(kHigh + 1, kLow));
  return static_cast<std::int64_t>((high << kLowBits | low) / kMsPerSecond);
}

// Of the rows below `bound` the id of the one that comes after `passed` others; nothing when there are no more.
std::optional<std::string> id_after(soci::session& session, const std::string& bound, int passed) {
  std::string id;
  session << "SELECT id FROM gbgreg_requests WHERE id < :bound ORDER BY id DESC LIMIT 1 OFFSET :passed", soci::into(id),
      soci::use(bound, "bound"), soci::use(passed, "passed");
  if (!session.got_data()) return std::nullopt;
  return id;
}

int count_between(soci::session& session, const std::string& floor, const std::string& bound) {
  int count = 0;
  session << "SELECT count(*) FROM gbgreg_requests WHERE id >= :floor AND id < :bound", soci::into(count),
      soci::use(floor, "floor"), soci::use(bound, "bound");
  return count;
}

// The rows from `floor` on and below `bound` that are wanted, the newest first, added to `rows`.
void read_rows(soci::session& session, const std::vector<Filter>& filters, const std::string& floor,
               const std::string& bound, int rows_wanted, std::vector<RequestRow>& rows) {
  std::string sql =
      "SELECT " + std::string(kRequestColumns) + " FROM gbgreg_requests WHERE id >= :floor AND id < :bound";
  for (const Filter& filter : filters) {
    if (filter.column == "status") {
      sql += " AND status >= :status_from AND status <= :status_through";
    } else {
      sql.append(" AND ").append(filter.column).append(" = :").append(filter.column);
    }
  }
  sql += " ORDER BY id DESC LIMIT :rows";
  BoundRequest row;
  soci::statement statement(session);
  row.each([&](auto& column) { statement.exchange(soci::into(column)); });
  statement.exchange(soci::use(floor, "floor"));
  statement.exchange(soci::use(bound, "bound"));
  for (const Filter& filter : filters) {
    if (filter.column == "status") {
      statement.exchange(soci::use(filter.status_from, "status_from"));
      statement.exchange(soci::use(filter.status_through, "status_through"));
    } else {
      statement.exchange(soci::use(filter.first, filter.column));
    }
  }
  statement.exchange(soci::use(rows_wanted, "rows"));
  statement.alloc();
  statement.prepare(sql);
  statement.define_and_bind();
  for (bool more = statement.execute(true); more; more = statement.fetch()) rows.push_back(row.give());
}

// How far a list has come. Rows below `bound` are still to be looked at.
class Search {
 public:
  Search(soci::session& session, const RequestQuery& query, std::string bound)
      : session_(session),
        filters_(filters_of(query)),
        rows_wanted_(query.limit + 1),  // One more tells whether there is a next page.
        bound_(std::move(bound)) {}

  RequestPage run() {
    constexpr const char* kBelowAll = "0";
    if (filters_.empty()) {
      read(kBelowAll);
      return page(false);
    }
    Hours hours(session_, filters_);
    std::int64_t at = bound_ == kAboveAll ? std::numeric_limits<std::int64_t>::max() : seconds_of_id(bound_);
    for (int step = 0; step < kHoursMax && left_ > 0; ++step) {
      const auto hour = hours.last(at);
      if (!hour) return page(false);
      look_through(*hour);
      if (missing() == 0) break;
      at = *hour - 1;
    }
    return page(true);
  }

  static constexpr const char* kAboveAll = "g";

 private:
  static constexpr int kHoursMax = 64;  // Of one page.

  int missing() const { return rows_wanted_ - static_cast<int>(rows_.size()); }
  void read(const std::string& floor) { read_rows(session_, filters_, floor, bound_, missing(), rows_); }

  void look_through(std::int64_t hour) {
    bound_ = std::min(bound_, first_id_of(hour + kHour));
    std::string floor = first_id_of(hour);
    const auto last = id_after(session_, bound_, left_);
    const bool is_all = !last || *last < floor;
    if (!is_all) floor = *last;
    read(floor);
    left_ = is_all ? left_ - count_between(session_, floor, bound_) : 0;
    bound_ = floor;
  }

  // `is_cut`: there may be more, though the page is not full.
  RequestPage page(bool is_cut) {
    RequestPage page{.requests = std::move(rows_), .next_cursor = {}};
    if (page.requests.size() == static_cast<std::size_t>(rows_wanted_)) {
      page.requests.pop_back();
      page.next_cursor = cursor_after(page.requests.back().id);
    } else if (is_cut) {
      page.next_cursor = cursor_after(bound_);
    }
    return page;
  }

  soci::session& session_;
  const std::vector<Filter> filters_;
  const int rows_wanted_;
  std::string bound_;
  int left_ = RequestStore::kListLookMax;  // Rows that may still be gone through.
  std::vector<RequestRow> rows_;
};

}  // namespace

Result<RequestPage> RequestStore::list(const RequestQuery& query) {
  if (query.limit < 1 || query.limit > kListLimitMax) {
    return fail(Kind::malformed, "limit_out_of_bounds",
                "limit must be between 1 and " + std::to_string(kListLimitMax) + ".");
  }
  std::optional<std::string> bound = Search::kAboveAll;
  if (!query.cursor.empty()) bound = id_in(query.cursor);
  if (!bound) {
    return fail(Kind::malformed, "cursor_malformed", "cursor must be the next_cursor of a page before this one.");
  }
  return database_.with_connection(
      [&](soci::session& session) -> Result<RequestPage> { return Search(session, query, *bound).run(); });
}

}  // namespace gbgreg::storage

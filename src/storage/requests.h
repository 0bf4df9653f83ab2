// The rows of requests that were answered, and the sums of them over minutes, hours and days from which figures are
// read fast.
//
// A sum is of one span of time, of one thing (a dimension and its value, such as role and "technical"), as one writer
// saw it: writers never share a row, so a writer that writes its own sum again cannot count anything twice.
//
// Blocking: for the thread that writes records and for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

// One row. All text is valid UTF-8 without NUL; what does not apply is empty or zero.
struct RequestRow {
  std::string id = {};  // A UUIDv7 of when it ended, and so in the order of time.
  std::string request_id = {};
  std::string created_at = {};  // When it ended; RFC 3339.
  std::string route = {};  // "POST /api/generate": the method and the pattern of the path, nothing that a client sent.
  std::string role = {};
  std::string model = {};
  std::string backend = {};
  std::string device = {};
  std::string key_id = {};
  std::int64_t status = 0;  // HTTP's; 499 when the client left.
  std::string error_code = {};
  std::int64_t complexity = 0;  // 1 to 5.
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  double queue_ms = 0;
  double ttft_ms = 0;
  double total_ms = 0;            // From the head of the request to the end of its answer.
  std::int64_t objective_ms = 0;  // That of its role.

  bool operator==(const RequestRow&) const = default;
};

// Each is put together from the one before it, of which it has a whole number.
enum class RollupSpan : std::uint8_t { minute, ten_minutes, hour, six_hours, day };
inline constexpr RollupSpan kPutTogether[] = {RollupSpan::ten_minutes, RollupSpan::hour, RollupSpan::six_hours,
                                              RollupSpan::day};
std::int64_t seconds_of(RollupSpan span);
// A minute has none, and is given back itself.
RollupSpan next_smaller(RollupSpan span);

struct RollupRow {
  RollupSpan span = RollupSpan::minute;
  std::int64_t start = 0;      // Seconds since 1970, a multiple of the span.
  std::string dimension = {};  // "all", "role", "model", "key", "route", "status", "device".
  std::string value = {};
  std::string writer = {};  // Whose sum it is; empty of what was put together from several.
  std::int64_t requests = 0;
  std::int64_t errors = 0;  // Statuses from 400 on.
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  double generation_ms = 0;         // From first tokens to last, of those answers whose tokens are counted.
  std::int64_t with_objective = 0;  // Requests whose role has one, and …
  std::int64_t objective_met = 0;   // … that kept it.
  // Of answers that a model gave (metrics/latency_sketch.h).
  std::string queue = {}, ttft = {}, total = {};

  bool operator==(const RollupRow&) const = default;
};

struct RequestQuery {
  int limit = 50;
  std::string cursor = {};                                     // From a page before, or empty.
  std::string role = {}, model = {}, key_id = {}, route = {};  // Each only where not empty.
  // 0, an exact status such as 429, or a hundred (4 for 400 to 499).
  int status = 0;
};

// It may have fewer rows than were asked for, or none, and a next page all the same: of what is rare, a page is no more
// than a look through so many rows found.
struct RequestPage {
  std::vector<RequestRow> requests;  // Newest first.
  std::optional<std::string> next_cursor;
};

struct RollupQuery {
  RollupSpan span = RollupSpan::minute;
  std::int64_t from = 0;       // Seconds since 1970; the first start …
  std::int64_t to = 0;         // … and the one behind the last.
  std::string dimension = {};  // Empty for all of them.
};

class RequestStore {
 public:
  static constexpr int kListLimitMax = 1'000;
  static constexpr int kListLookMax = 10'000;
  static constexpr int kForgottenSpans = 60;

  explicit RequestStore(Database& database) : database_(database) {}

  // Both or nothing. Rows whose id is there already are left as they are; sums, which are of minutes, take the place of
  // those that are there. What was put together already of larger spans with such a minute goes, so that it is put
  // together anew, but for those that end before `reopen_from` (seconds since 1970): their minutes may be gone.
  Result<void> write(std::span<const RequestRow> rows, std::span<const RollupRow> sums, std::int64_t reopen_from);
  // Which of these ids have no row yet, in their order: for what was perhaps written already.
  Result<std::vector<std::string>> missing(std::span<const std::string> ids);

  // What is filtered by is looked for where there was such a request by the sums, which are written with the rows. For
  // one page kListLookMax rows are gone through at most, so that it takes no longer where nothing is to be found: a
  // page may be short, or empty, and have a next one. Errors: malformed (a cursor that we did not make, a limit out of
  // bounds).
  Result<RequestPage> list(const RequestQuery& query);
  // Nothing where there is none.
  Result<std::optional<RequestRow>> find(const std::string& id);
  // In the order of their start.
  Result<std::vector<RollupRow>> rollups(const RollupQuery& query);

  // Whatever there is of the span that begins at `start` goes, and `sums`, of no writer, take its place.
  Result<void> replace_rollups(RollupSpan span, std::int64_t start, std::span<const RollupRow> sums);
  // The starts of spans that have sums of the next smaller ones from `from` on and before `to`, and none of their own.
  Result<std::vector<std::int64_t>> not_rolled_up(RollupSpan span, std::int64_t from, std::int64_t to);

  // Removes rows with ids below, the oldest first, at most `most` of them, so that nobody waits long for a write; how
  // many those were.
  Result<std::int64_t> forget_rows(const std::string& id_below, int most);
  // The same of sums that begin before: kForgottenSpans of them, the oldest first.
  Result<std::int64_t> forget_rollups(RollupSpan span, std::int64_t before);

 private:
  Database& database_;
};

}  // namespace gbgreg::storage

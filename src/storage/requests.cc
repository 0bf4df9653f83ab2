#include "storage/requests.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>
#include <variant>

#include "storage/bound_request.h"
#include "storage/columns.h"
#include "storage/sqlite_requests.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kRollupColumns =
    "span, start, dimension, value, writer, requests, errors, prompt_tokens, completion_tokens, generation_ms, "
    "with_objective, objective_met, queue, ttft, total";

// Named in each statement, in the order of their bytes: the primary key begins with span and dimension, and a database
// would read all sums of a span to find those of a time.
constexpr std::string_view kDimensions[] = {"all", "device", "key", "model", "role", "route", "status"};

using Number = long long;

struct BoundRollup {
  RollupRow row;
  Number span = 0, start = 0, requests = 0, errors = 0, prompt_tokens = 0, completion_tokens = 0, with_objective = 0,
         objective_met = 0;

  void take(const RollupRow& from) {
    row = from;
    span = seconds_of(from.span);
    start = from.start;
    requests = from.requests;
    errors = from.errors;
    prompt_tokens = from.prompt_tokens;
    completion_tokens = from.completion_tokens;
    with_objective = from.with_objective;
    objective_met = from.objective_met;
  }
  RollupRow give(RollupSpan of) const {
    RollupRow out = row;
    out.span = of;
    out.start = start;
    out.requests = requests;
    out.errors = errors;
    out.prompt_tokens = prompt_tokens;
    out.completion_tokens = completion_tokens;
    out.with_objective = with_objective;
    out.objective_met = objective_met;
    return out;
  }
  template <class Bind>
  void each(Bind bind) {
    bind(span), bind(start), bind(row.dimension), bind(row.value), bind(row.writer), bind(requests), bind(errors);
    bind(prompt_tokens), bind(completion_tokens), bind(row.generation_ms), bind(with_objective), bind(objective_met);
    bind(row.queue), bind(row.ttft), bind(row.total);
  }
};

constexpr int kRequestColumnCount = 18;
constexpr int kRollupColumnCount = 15;

// Rows of one statement: a journey to PostgreSQL takes longer than to write a row.
constexpr int kRowsAtOnce = 8;

// Ids of one question.
constexpr int kIdsAtOnce = 200;

// "(:c0, :c1, …), (:c18, …)"
std::string places(int columns, int rows) {
  std::string text;
  for (int i = 0; i < columns * rows; ++i) {
    text.append(i == 0 ? "(" : i % columns == 0 ? "), (" : ", ").append(":c").append(std::to_string(i));
  }
  return text + ")";
}

// A statement that writes `at_once` rows of `Bound` each time it is executed.
template <class Bound>
class Writing {
 public:
  Writing(soci::session& session, const std::string& sql, int at_once)
      : bound_(static_cast<std::size_t>(at_once)), statement_(session) {
    // By their places: by name, SQLite would look for each among all of the statement, row after row.
    for (Bound& one : bound_) {
      one.each([&](auto& column) { statement_.exchange(soci::use(column)); });
    }
    statement_.alloc();
    statement_.prepare(sql);
    statement_.define_and_bind();
  }
  // As many as it writes at once.
  template <class Row>
  void write(std::span<const Row> rows) {
    for (std::size_t i = 0; i < bound_.size(); ++i) bound_[i].take(rows[i]);
    statement_.execute(true);
  }

 private:
  std::vector<Bound> bound_;
  soci::statement statement_;
};

template <class Bound, class Row>
void write_all(soci::session& session, std::string (*sql)(int), std::span<const Row> rows) {
  const std::size_t whole = rows.size() - rows.size() % kRowsAtOnce;
  if (whole > 0) {
    Writing<Bound> writing(session, sql(kRowsAtOnce), kRowsAtOnce);
    for (std::size_t i = 0; i < whole; i += kRowsAtOnce) writing.write(rows.subspan(i, kRowsAtOnce));
  }
  if (whole == rows.size()) return;
  Writing<Bound> writing(session, sql(1), 1);
  for (std::size_t i = whole; i < rows.size(); ++i) writing.write(rows.subspan(i, 1));
}

std::string insert_requests(int rows) {
  return "INSERT INTO gbgreg_requests (" + std::string(kRequestColumns) + ") VALUES " +
         places(kRequestColumnCount, rows) + " ON CONFLICT (id) DO NOTHING";
}

// No two of the rows may be of the same sum.
std::string insert_rollups(int rows) {
  std::string sql = "INSERT INTO gbgreg_request_rollups (" + std::string(kRollupColumns) + ") VALUES " +
                    places(kRollupColumnCount, rows) +
                    " ON CONFLICT (span, dimension, start, value, writer) DO UPDATE SET requests = excluded.requests";
  for (const char* column : {"errors", "prompt_tokens", "completion_tokens", "generation_ms", "with_objective",
                             "objective_met", "queue", "ttft", "total"}) {
    sql.append(", ").append(column).append(" = excluded.").append(column);
  }
  return sql;
}

// "'all', 'device', …"
std::string all_dimensions() {
  std::string text;
  for (const std::string_view dimension : kDimensions) {
    text.append(text.empty() ? "'" : ", '").append(dimension).append("'");
  }
  return text;
}

void reopen(soci::session& session, std::span<const RollupRow> sums, std::int64_t from) {
  std::set<std::pair<Number, Number>> spans;  // Of how many seconds, and when they begin.
  for (const RollupRow& sum : sums) {
    for (const RollupSpan span : kPutTogether) {
      const std::int64_t seconds = seconds_of(span), start = sum.start - sum.start % seconds;
      if (start + seconds > from) spans.emplace(seconds, start);
    }
  }
  Number seconds = 0, start = 0;
  soci::statement statement =
      (session.prepare << "DELETE FROM gbgreg_request_rollups WHERE span = :span AND dimension IN (" +
                              all_dimensions() + ") AND start = :start",
       soci::use(seconds, "span"), soci::use(start, "start"));
  for (const auto& each : spans) {
    std::tie(seconds, start) = each;
    statement.execute(true);
  }
}

}  // namespace

std::int64_t seconds_of(RollupSpan span) {
  switch (span) {
    case RollupSpan::minute:
      return 60;
    case RollupSpan::ten_minutes:
      return 600;
    case RollupSpan::hour:
      return 3'600;
    case RollupSpan::six_hours:
      return 6 * 3'600;
    case RollupSpan::day:
      return 86'400;
  }
  return 60;
}

RollupSpan next_smaller(RollupSpan span) {
  return span == RollupSpan::minute ? span : static_cast<RollupSpan>(std::to_underlying(span) - 1);
}

Result<void> RequestStore::write(std::span<const RequestRow> rows, std::span<const RollupRow> sums,
                                 std::int64_t reopen_from) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    if (!insert_by_sqlite(session, rows)) write_all<BoundRequest>(session, insert_requests, rows);
    write_all<BoundRollup>(session, insert_rollups, sums);
    reopen(session, sums, reopen_from);
    return {};
  });
}

Result<std::vector<std::string>> RequestStore::missing(std::span<const std::string> ids) {
  return database_.with_connection([&](soci::session& session) -> Result<std::vector<std::string>> {
    std::string found;
    std::vector<std::string> asked(kIdsAtOnce);
    soci::statement statement(session);
    statement.exchange(soci::into(found));
    for (const std::string& id : asked) statement.exchange(soci::use(id));
    statement.alloc();
    statement.prepare("SELECT id FROM gbgreg_requests WHERE id IN " + places(kIdsAtOnce, 1));
    statement.define_and_bind();
    std::vector<std::string> missing;
    for (std::span<const std::string> rest = ids; !rest.empty();) {
      const auto some = rest.first(std::min(rest.size(), asked.size()));
      // No row has an empty id.
      std::ranges::fill(asked, std::string());
      std::ranges::copy(some, asked.begin());
      std::set<std::string> there;
      for (bool more = statement.execute(true); more; more = statement.fetch()) there.insert(found);
      std::ranges::copy_if(some, std::back_inserter(missing), [&](const auto& id) { return !there.contains(id); });
      rest = rest.subspan(some.size());
    }
    return missing;
  });
}

Result<std::optional<RequestRow>> RequestStore::find(const std::string& id) {
  return database_.with_connection([&](soci::session& session) -> Result<std::optional<RequestRow>> {
    BoundRequest row;
    soci::statement statement(session);
    row.each([&](auto& column) { statement.exchange(soci::into(column)); });
    statement.exchange(soci::use(id, "id"));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kRequestColumns) + " FROM gbgreg_requests WHERE id = :id");
    statement.define_and_bind();
    if (!statement.execute(true)) return std::nullopt;
    return row.give();
  });
}

Result<std::vector<RollupRow>> RequestStore::rollups(const RollupQuery& query) {
  const Number span = seconds_of(query.span), from = query.from, to = query.to;
  const std::string sql = "SELECT " + std::string(kRollupColumns) +
                          " FROM gbgreg_request_rollups WHERE span = :span AND dimension = :dimension AND start >= "
                          ":from AND start < :to ORDER BY start, value, writer";
  return database_.with_connection([&](soci::session& session) -> Result<std::vector<RollupRow>> {
    BoundRollup row;
    std::string dimension;
    soci::statement statement(session);
    row.each([&](auto& column) { statement.exchange(soci::into(column)); });
    statement.exchange(soci::use(span, "span"));
    statement.exchange(soci::use(dimension, "dimension"));
    statement.exchange(soci::use(from, "from"));
    statement.exchange(soci::use(to, "to"));
    statement.alloc();
    statement.prepare(sql);
    statement.define_and_bind();
    std::vector<RollupRow> rows;
    const auto read = [&](std::string_view of) {
      dimension = of;
      for (bool more = statement.execute(true); more; more = statement.fetch()) rows.push_back(row.give(query.span));
    };
    if (!query.dimension.empty()) {
      read(query.dimension);
      return rows;
    }
    for (const std::string_view each : kDimensions) read(each);
    std::ranges::sort(
        rows, {}, [](const RollupRow& each) { return std::tie(each.start, each.dimension, each.value, each.writer); });
    return rows;
  });
}

Result<void> RequestStore::replace_rollups(RollupSpan span, std::int64_t start, std::span<const RollupRow> sums) {
  const Number seconds = seconds_of(span), begin = start;
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    session << "DELETE FROM gbgreg_request_rollups WHERE span = :span AND dimension IN (" << all_dimensions()
            << ") AND start = :start",
        soci::use(seconds, "span"), soci::use(begin, "start");
    write_all<BoundRollup>(session, insert_rollups, sums);
    return {};
  });
}

Result<std::vector<std::int64_t>> RequestStore::not_rolled_up(RollupSpan span, std::int64_t from, std::int64_t to) {
  const Number seconds = seconds_of(span), smaller = seconds_of(next_smaller(span)), first = from, behind = to;
  return database_.with_connection([&](soci::session& session) -> Result<std::vector<std::int64_t>> {
    Number start = 0;
    soci::statement statement =
        (session.prepare
             << "SELECT DISTINCT start - start % :seconds FROM gbgreg_request_rollups WHERE span = :smaller AND "
                "dimension = 'all' AND start >= :first AND start < :behind AND NOT EXISTS (SELECT 1 FROM "
                "gbgreg_request_rollups done WHERE done.span = :seconds AND done.dimension = 'all' AND done.start = "
                "gbgreg_request_rollups.start - gbgreg_request_rollups.start % :seconds) ORDER BY 1",
         soci::into(start), soci::use(seconds, "seconds"), soci::use(smaller, "smaller"), soci::use(first, "first"),
         soci::use(behind, "behind"));
    std::vector<std::int64_t> starts;
    for (bool more = statement.execute(true); more; more = statement.fetch()) starts.push_back(start);
    return starts;
  });
}

Result<std::int64_t> RequestStore::forget_rows(const std::string& id_below, int most) {
  return database_.in_transaction([&](soci::session& session) -> Result<std::int64_t> {
    soci::statement statement =
        (session.prepare << "DELETE FROM gbgreg_requests WHERE id IN (SELECT id FROM gbgreg_requests WHERE id < "
                            ":bound ORDER BY id LIMIT :most)",
         soci::use(id_below, "bound"), soci::use(most, "most"));
    statement.execute(true);
    return statement.get_affected_rows();
  });
}

Result<std::int64_t> RequestStore::forget_rollups(RollupSpan span, std::int64_t before) {
  const Number seconds = seconds_of(span);
  return database_.in_transaction([&](soci::session& session) -> Result<std::int64_t> {
    Number first = 0;
    session
        << "SELECT start FROM gbgreg_request_rollups WHERE span = :span AND dimension = 'all' ORDER BY start LIMIT 1",
        soci::into(first), soci::use(seconds, "span");
    if (!session.got_data() || first >= before) return 0;
    const Number bound = std::min<Number>(before, first + kForgottenSpans * seconds);
    soci::statement statement = (session.prepare << "DELETE FROM gbgreg_request_rollups WHERE span = :span AND "
                                                    "dimension IN (" +
                                                        all_dimensions() + ") AND start < :bound",
                                 soci::use(seconds, "span"), soci::use(bound, "bound"));
    statement.execute(true);
    return statement.get_affected_rows();
  });
}

}  // namespace gbgreg::storage

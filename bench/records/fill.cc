#include "fill.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "core/ids.h"
#include "records/sums.h"
#include "records/upkeep.h"
#include "traffic.h"

namespace gbgreg::bench {
namespace {

constexpr std::int64_t kHour = 3'600;
constexpr std::int64_t kMinutesOpen = 300;      // As a recorder keeps them.
constexpr std::chrono::days kKept{30};          // As a gateway does where it is told nothing else.
constexpr std::int64_t kTellEvery = 1'000'000;  // Rows.

using Steady = std::chrono::steady_clock;

double milliseconds_since(Steady::time_point began) {
  return std::chrono::duration<double, std::milli>(Steady::now() - began).count();
}

std::int64_t seconds_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

Filled fill(storage::RequestStore& store, Calendar& calendar, const Plan& plan) {
  Filled filled;
  Traffic traffic(plan.from, plan.to, plan.rows);
  records::MinuteSums sums("filling");
  std::vector<storage::RequestRow> rows;
  std::int64_t ended = 0, hour = seconds_of(plan.from) / kHour;
  const auto write = [&] {
    const auto changed = sums.changed();
    const auto began = Steady::now();
    need(store.write(rows, changed, ended - records::kMinuteSumsKept / 2));
    filled.writes.push_back(milliseconds_since(began));
    filled.sums += static_cast<std::int64_t>(changed.size());
    filled.rows += static_cast<std::int64_t>(rows.size());
    sums.written();
    sums.forget_before(ended - kMinutesOpen);
    if (filled.rows / kTellEvery != (filled.rows - static_cast<std::int64_t>(rows.size())) / kTellEvery) {
      std::fprintf(stderr, "%lld rows\n", static_cast<long long>(filled.rows));
    }
    rows.clear();
  };
  const auto look_after = [&](WallTime now) {
    calendar.put(now);
    const auto began = Steady::now();
    need(records::keep_up(store, now, kKept));
    filled.upkeep.push_back(milliseconds_since(began));
  };
  const auto began = Steady::now();
  while (auto row = traffic.next()) {
    const auto at = parse_rfc3339(row->created_at);
    ended = seconds_of(*at);
    if (plan.keeps_up && ended / kHour != hour) {
      write();
      hour = ended / kHour;
      look_after(*at + std::chrono::minutes(1));
    }
    sums.add(*row, ended);
    rows.push_back(std::move(*row));
    if (rows.size() == plan.at_once) write();
  }
  write();
  calendar.put(plan.to);
  if (plan.keeps_up) look_after(plan.to);
  filled.seconds = milliseconds_since(began) / 1'000;
  return filled;
}

void fill_uploads(storage::Database& database, WallTime from, WallTime to, int count) {
  constexpr const char* kKinds[] = {"text", "code", "image", "archive", "document", "data"};
  need(database.in_transaction([&](soci::session& session) -> Result<void> {
    std::string id, kind, created_at;
    long long size = 0;
    soci::statement insert =
        (session.prepare << "INSERT INTO gbgreg_uploads (id, filename, original_filename, kind, media_type, "
                            "size_bytes, sha256, created_at) VALUES (:id, 'report.txt', 'report.txt', :kind, "
                            "'text/plain', :size, :id, :created_at)",
         soci::use(id, "id"), soci::use(kind, "kind"), soci::use(size, "size"), soci::use(created_at, "created_at"));
    for (int i = 0; i < count; ++i) {
      const WallTime at = from + (to - from) / count * i;
      id = new_uuid(at);
      kind = kKinds[i % std::size(kKinds)];
      created_at = rfc3339(at);
      size = 1'000 + i;
      insert.execute(true);
    }
    return {};
  }));
}

}  // namespace gbgreg::bench

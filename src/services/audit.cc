#include "services/audit.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>
#include <vector>

#include "core/utf8.h"

namespace gbgreg::services {
namespace {

constexpr const char* kDropped = "gbgreg_audit_dropped_total";
constexpr const char* kDroppedHelp = "Rows that are missing from the audit trail.";

// What comes from the network may be long, and is looked at no further than it is kept: and a little, so that it is
// never a character that is cut.
std::string bounded(std::string_view text) {
  constexpr std::size_t kCharacterBytesMax = 4;
  const std::string valid = to_valid_utf8(text.substr(0, kAuditTextBytesMax + kCharacterBytesMax));
  return std::string(cut_utf8(valid, kAuditTextBytesMax));
}

}  // namespace

storage::AuditRow audit_row(const Deed& deed, WallTime now) {
  return {.id = new_uuid(now),
          .created_at = rfc3339(now),
          .actor = bounded(deed.actor),
          .actor_name = bounded(deed.actor_name),
          .peer = bounded(deed.peer),
          .action = bounded(deed.action),
          .target_kind = bounded(deed.action.substr(0, deed.action.find('.'))),
          .target_id = bounded(deed.target_id),
          .target_name = bounded(deed.target_name),
          .status = deed.status,
          .error_code = bounded(deed.error_code),
          .request_id = bounded(deed.request_id)};
}

Audit::Audit(asio::thread_pool& storage_pool, storage::AuditStore& rows, metrics::Registry& registry,
             const Clock& clock, const AuditOptions& options)
    : pool_(storage_pool),
      rows_(rows),
      clock_(clock),
      options_(options),
      full_(registry.counter(kDropped, kDroppedHelp, metrics::label("reason", "no_room"))),
      strangers_(registry.counter(kDropped, kDroppedHelp, metrics::label("reason", "strangers"))),
      for_strangers_(kStrangersPerMinute, clock.steady()) {}

void Audit::note(const Deed& deed) noexcept {
  try {
    if (queue(deed) && !is_away_) post_look();
  } catch (...) {
    full_.add(metrics::kOtherLane);  // Memory is short.
  }
}

// Whether it waits now.
bool Audit::queue(const Deed& deed) {
  storage::AuditRow row = audit_row(deed, clock_.wall());
  const SteadyTime now = clock_.steady();
  const bool is_strangers = row.is_refused() && row.actor.empty();
  const std::scoped_lock lock(mutex_);
  if (is_strangers && !for_strangers_.has(1, now)) {
    ++left_out_;
    strangers_.add(metrics::kOtherLane);
    return false;
  }
  if (waiting_.size() >= options_.waiting_max) {
    full_.add(metrics::kOtherLane);
    return false;
  }
  if (is_strangers) row.left_out = left_out_;
  waiting_.push_back(std::move(row));
  if (is_strangers) {
    for_strangers_.take(1, now);
    left_out_ = 0;
  }
  return true;
}

void Audit::post_look() {
  if (is_posted_.exchange(true)) return;
  try {
    // What left a job of the pool would end the process.
    asio::post(pool_, [this] {
      try {
        [[maybe_unused]] const auto looked = look();
        is_posted_ = false;
        // Noted too late for that look, and too early for another one.
        if (!is_away_ && waiting() > 0) post_look();
      } catch (const std::exception& error) {
        is_posted_ = false;
        spdlog::error("the audit trail was not written: {}", error.what());
      }
    });
  } catch (...) {
    is_posted_ = false;
    throw;
  }
}

void Audit::look_soon() { post_look(); }

Result<void> Audit::look() {
  const std::scoped_lock work(work_mutex_);
  auto done = write_waiting();
  if (done) done = forget();
  if (is_away_.exchange(!done) == !done) return done;
  if (done) {
    spdlog::info("the audit trail is written again");
  } else {
    spdlog::warn("the audit trail waits for the database: {} ({})", done.error().message, done.error().detail);
  }
  return done;
}

// Rows stay in the queue until they are written, so that the bound is one of all that there is. Whether a commit whose
// answer was lost has happened does not matter: a row that is there already is left as it is.
Result<void> Audit::write_waiting() {
  while (true) {
    std::vector<storage::AuditRow> rows;
    {
      const std::scoped_lock lock(mutex_);
      const auto count = static_cast<std::ptrdiff_t>(std::min(waiting_.size(), options_.batch_max));
      rows.assign(waiting_.begin(), waiting_.begin() + count);
    }
    if (rows.empty()) return {};
    if (auto inserted = rows_.insert(rows); !inserted) return inserted;
    const std::scoped_lock lock(mutex_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(rows.size()));
  }
}

// As long as there is more than goes at once, the next look goes on with it.
Result<void> Audit::forget() {
  const SteadyTime now = clock_.steady();
  if (now < next_forget_) return {};
  const storage::AuditKept kept{.done = options_.done_max,
                                .refused = options_.refused_max,
                                .id_from = first_uuid_of(clock_.wall() - options_.kept)};
  const auto forgotten = rows_.forget(kept, options_.forget_max);
  if (!forgotten) return std::unexpected(forgotten.error());
  if (*forgotten == 0) next_forget_ = now + options_.forget_every;
  return {};
}

Task<Result<storage::AuditPage>> Audit::list(storage::AuditQuery query) {
  auto read = [this, query = std::move(query)]() -> Result<storage::AuditPage> {
    // What was written before can be read even where nothing can be written.
    [[maybe_unused]] const auto looked = look();
    return rows_.list(query);
  };
  co_return co_await offload(pool_, std::move(read));
}

std::size_t Audit::waiting() const {
  const std::scoped_lock lock(mutex_);
  return waiting_.size();
}

}  // namespace gbgreg::services

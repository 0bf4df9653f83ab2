// Who did what to the gateway, written down without anybody waiting for it: what is noted goes into a small queue, and
// a job on the storage pool writes it, some milliseconds later. While the database is away the queue is kept, up to a
// bound; what there is no room for is counted, and said in the metrics. So is what strangers try too often.
//
// Whoever has no key may try as often as they like, and must neither fill the table nor drive out of it what was done.
// So refused attempts of strangers, all of them together, get kStrangersPerMinute rows a minute, the next of which says
// how many came in between; and rows of what was refused have a bound of their own (storage/audit.h). Who has a key, or
// a gateway without keys, is not held back: those rows say whose they are, and what they did.
//
// A process that is killed loses what was noted in its last moments.
//
// Any thread may call it; what is said to block is for the storage pool. It must outlive the pool's jobs.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "core/core.h"
#include "keys/bucket.h"
#include "metrics/metrics.h"
#include "storage/audit.h"

namespace gbgreg::services {

struct AuditOptions {
  std::size_t waiting_max = 2'000;  // Rows that wait for the database; each has at most some 2 KB.
  std::size_t batch_max = 200;      // Rows of one transaction.
  int forget_max = 1'000;           // Rows of each sort that go in one transaction.
  int done_max = 200'000;           // Rows that are kept of what was done …
  int refused_max = 50'000;         // … and of what was refused.
  std::chrono::days kept{400};
  std::chrono::minutes forget_every{10};
};

// A text of a row has at most so many bytes.
inline constexpr std::size_t kAuditTextBytesMax = 256;
inline constexpr int kStrangersPerMinute = 5;

// What was done, or tried.
struct Deed {
  std::string actor = {};  // As storage::AuditRow has it.
  std::string actor_name = {};
  std::string peer = {};
  std::string_view action = {};  // "key.create"; it outlives the deed.
  std::string target_id = {};
  std::string target_name = {};
  int status = 200;  // HTTP's.
  std::string error_code = {};
  std::string request_id = {};
};

// The row of a deed that was over at that time: its texts are valid and not too long, its target's kind is what stands
// before the point of the action. Pure, but for its id.
storage::AuditRow audit_row(const Deed& deed, WallTime now);

class Audit {
 public:
  Audit(asio::thread_pool& storage_pool, storage::AuditStore& rows, metrics::Registry& registry, const Clock& clock,
        const AuditOptions& options = {});
  Audit(const Audit&) = delete;
  Audit& operator=(const Audit&) = delete;

  // Never waits, and never fails: what cannot be kept is counted.
  void note(const Deed& deed) noexcept;

  // Has the storage pool write what waits, and forget what is old. Comes back at once; to be called now and then, for
  // that is how a database that was away is found again.
  void look_soon();
  // The same here and now: at the end, when nothing is noted any more. Blocks. Errors: those of the database.
  Result<void> look();

  // What was noted before is in it, if it can be written. Errors: those of storage::AuditStore.
  Task<Result<storage::AuditPage>> list(storage::AuditQuery query);

  // What waits for the database.
  std::size_t waiting() const;

 private:
  bool queue(const Deed& deed);
  void post_look();
  Result<void> write_waiting();
  Result<void> forget();

  asio::thread_pool& pool_;
  storage::AuditStore& rows_;
  const Clock& clock_;
  const AuditOptions options_;
  metrics::Counter& full_;
  metrics::Counter& strangers_;
  std::atomic<bool> is_posted_ = false;  // There is one job at a time.
  std::atomic<bool> is_away_ = false;

  std::mutex work_mutex_;     // One writes at a time; held while the database is asked, and never by an I/O thread.
  SteadyTime next_forget_{};  // Guarded by work_mutex_.

  mutable std::mutex mutex_;  // Guards what follows; never held while the database is asked.
  std::deque<storage::AuditRow> waiting_;
  keys::Bucket for_strangers_;
  std::int64_t left_out_ = 0;  // Attempts since the last row of a stranger.
};

}  // namespace gbgreg::services

// How database and disk are, without ever waiting long for them.
//
// A locked database or a disk that hangs holds up whoever looks, so looking is a job on the storage pool, one at a time
// and only when somebody asks. Whoever asks waits for it a moment and then takes what the last one saw, as long as that
// is young enough to mean anything.
//
// Any I/O thread may call it. It must outlive the pool's jobs.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>

#include "core/core.h"
#include "storage/storage.h"

namespace gbgreg::services {

struct StoresWatchOptions {
  std::chrono::milliseconds wait_max{500};          // For a fresh report, before the last one is given.
  std::chrono::milliseconds report_age_max{5'000};  // Past it a report says nothing about now.
};

struct StoresReport {
  bool database_answers = false;
  bool folder_is_writable = false;
  std::uint64_t free_bytes = 0;
};

class StoresWatch {
 public:
  StoresWatch(asio::thread_pool& pool, storage::Database& database, storage::BlobStore& blobs, const Clock& clock,
              StoresWatchOptions options = {});

  StoresWatch(const StoresWatch&) = delete;
  StoresWatch& operator=(const StoresWatch&) = delete;

  // Nothing when nobody has been able to look for too long. Comes back within wait_max.
  Task<std::optional<StoresReport>> report();

  // What the last look saw, without another; nothing when that is too old. Any thread.
  std::optional<StoresReport> last() const;

  // "sqlite" or "postgresql".
  std::string_view database_kind() const { return database_.kind(); }

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  // Among the waiters for as long as it lives.
  class Waiting;

  void join(const std::shared_ptr<Timer>& waiter);
  void leave(const std::shared_ptr<Timer>& waiter);

  // The job on the pool.
  void look();
  std::optional<StoresReport> look_now();

  asio::thread_pool& pool_;
  storage::Database& database_;
  storage::BlobStore& blobs_;
  const Clock& clock_;
  const StoresWatchOptions options_;

  mutable std::mutex mutex_;
  bool is_looking_ = false;
  // To be cancelled when the job is done. Shared with what is posted to do that, which may run after its task is gone.
  std::set<std::shared_ptr<Timer>> waiters_;
  std::optional<StoresReport> report_;
  SteadyTime reported_;
};

}  // namespace gbgreg::services

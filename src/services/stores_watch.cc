#include "services/stores_watch.h"

#include <spdlog/spdlog.h>

#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>

namespace gbgreg::services {

class StoresWatch::Waiting {
 public:
  Waiting(StoresWatch& watch, std::shared_ptr<Timer> timer) : watch_(watch), timer_(std::move(timer)) {
    watch_.join(timer_);
  }
  ~Waiting() { watch_.leave(timer_); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  StoresWatch& watch_;
  std::shared_ptr<Timer> timer_;
};

StoresWatch::StoresWatch(asio::thread_pool& pool, storage::Database& database, storage::BlobStore& blobs,
                         const Clock& clock, StoresWatchOptions options)
    : pool_(pool), database_(database), blobs_(blobs), clock_(clock), options_(options) {}

Task<std::optional<StoresReport>> StoresWatch::report() {
  const Executor executor = co_await asio::this_coro::executor;
  const auto timer = std::make_shared<Timer>(executor, options_.wait_max);
  const Waiting waiting(*this, timer);
  co_await timer->async_wait(use_tuple);  // Cancelled when there is something new.
  co_return last();
}

void StoresWatch::join(const std::shared_ptr<Timer>& waiter) {
  const std::scoped_lock lock(mutex_);
  waiters_.insert(waiter);
  if (is_looking_) return;
  asio::post(pool_, [this] { look(); });
  is_looking_ = true;
}

void StoresWatch::leave(const std::shared_ptr<Timer>& waiter) {
  const std::scoped_lock lock(mutex_);
  waiters_.erase(waiter);
}

std::optional<StoresReport> StoresWatch::last() const {
  const std::scoped_lock lock(mutex_);
  if (!report_ || clock_.steady() - reported_ > options_.report_age_max) return std::nullopt;
  return report_;
}

void StoresWatch::look() {
  const auto seen = look_now();
  const std::scoped_lock lock(mutex_);
  is_looking_ = false;
  if (seen) {
    report_ = seen;
    reported_ = clock_.steady();
  }
  // Posted under the lock: until a waiter has left, its loop is there.
  try {
    for (const auto& waiter : waiters_) asio::post(waiter->get_executor(), [waiter] { waiter->cancel(); });
  } catch (const std::exception& error) {
    // They wait to the end of their time. What left a job of the pool would end the process.
    spdlog::error("whoever waits for news of database and disk could not be told: {}", error.what());
  }
  waiters_.clear();
}

std::optional<StoresReport> StoresWatch::look_now() {
  try {
    const auto free_bytes = blobs_.free_bytes();
    return StoresReport{.database_answers = database_.check().has_value(),
                        .folder_is_writable = blobs_.is_writable(),
                        .free_bytes = free_bytes.value_or(0)};
  } catch (const std::exception& error) {
    spdlog::error("looking at database and disk failed: {}", error.what());
    return std::nullopt;
  }
}

}  // namespace gbgreg::services

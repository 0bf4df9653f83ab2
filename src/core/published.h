// A value that many threads read, and whose place another one takes now and then: exchanged as a whole, never changed.
//
// Reading takes no lock and writes nothing that threads share: each lane (an I/O thread) keeps the one that it saw
// last, and only looks whether there is a newer one. The old one goes when the last lane has let it go.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace gbgreg {

template <class T>
class Published {
 public:
  Published(int lanes, T first)
      : newest_(std::make_shared<const T>(std::move(first))), seen_(static_cast<std::size_t>(lanes)) {}

  // For the thread of the lane. The reference holds until the next call of that thread, so not over a co_await.
  const T& read(int lane) {
    Seen& seen = seen_[static_cast<std::size_t>(lane)];
    if (seen.version != version_.load(std::memory_order_acquire)) look_again(seen);
    return *seen.value;
  }

  // Any thread.
  void publish(T next) {
    auto value = std::make_shared<const T>(std::move(next));
    const std::lock_guard lock(mutex_);
    newest_ = std::move(value);
    version_.fetch_add(1, std::memory_order_release);
  }

 private:
  struct alignas(64) Seen {
    std::uint64_t version = 0;
    std::shared_ptr<const T> value = {};  // Shared between the lanes, which let it go one after another.
  };

  void look_again(Seen& seen) {
    const std::lock_guard lock(mutex_);
    seen.version = version_.load(std::memory_order_relaxed);
    seen.value = newest_;
  }

  std::atomic<std::uint64_t> version_ = 1;
  std::mutex mutex_;
  std::shared_ptr<const T> newest_;  // Guarded by mutex_.
  std::vector<Seen> seen_;
};

}  // namespace gbgreg

#include "net/io_thread.h"

#include <array>
#include <ctime>
#include <new>

#include "net/connection.h"

namespace gbgreg::net {

std::unique_ptr<char[]> BufferPool::take() {
  if (kept_.empty()) return std::make_unique_for_overwrite<char[]>(kBufferBytes);
  auto buffer = std::move(kept_.back());
  kept_.pop_back();
  return buffer;
}

void BufferPool::give_back(std::unique_ptr<char[]> buffer) noexcept {
  if (kept_.size() < kKeptMax) kept_.push_back(std::move(buffer));
}

IdleConnections::IdleConnections(std::size_t per_backend_max, std::chrono::milliseconds kept_max)
    : per_backend_max_(per_backend_max), kept_max_(kept_max) {}

IdleConnections::~IdleConnections() = default;

std::unique_ptr<Connection> IdleConnections::take(const std::string& address) {
  const auto found = by_address_.find(address);
  if (found == by_address_.end()) return nullptr;
  const SteadyTime oldest = std::chrono::steady_clock::now() - kept_max_;
  std::unique_ptr<Connection> fit;
  while (!fit && !found->second.empty()) {
    Idle idle = std::move(found->second.back());
    found->second.pop_back();
    if (idle.since >= oldest && idle.connection->is_quiet()) fit = std::move(idle.connection);
  }
  return fit;
}

void IdleConnections::keep(const std::string& address, std::unique_ptr<Connection> connection) noexcept {
  try {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now >= next_sweep_) {
      drop_older_than(now - kept_max_);
      next_sweep_ = now + kept_max_ / 8;
    }
    if (by_address_.size() >= kAddressesMax && !by_address_.contains(address)) by_address_.clear();
    auto& kept = by_address_[address];
    if (kept.size() >= per_backend_max_) return;
    connection->release_buffer();
    kept.push_back({.connection = std::move(connection), .since = now});
  } catch (const std::bad_alloc&) {
    // The connection closes as it goes out of scope, and the next request opens one.
  }
}

void IdleConnections::drop_older_than(SteadyTime oldest) {
  for (auto& [address, kept] : by_address_) std::erase_if(kept, [&](const Idle& idle) { return idle.since < oldest; });
  std::erase_if(by_address_, [](const auto& entry) { return entry.second.empty(); });
}

IoThread::IoThread(int index, const Options& options)
    : index_(index),
      options_(options),
      idle_connections_(options.idle_connections_per_backend_max, options.idle_connection_kept_max) {}

IoThread::~IoThread() = default;

std::string_view IoThread::http_date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_) {
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::array<char, 64> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    date_.assign(text.data(), length);
    date_second_ = now;
  }
  return date_;
}

}  // namespace gbgreg::net

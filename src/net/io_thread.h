// One I/O thread: its event loop, its deadlines, its connections to backends, its read buffers.
//
// Nothing in it is shared with another thread, so nothing in it is locked. Server (server.h) owns one per core, and the
// fleet has one to ask its workers for signs of life.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/core.h"
#include "net/deadline_wheel.h"
#include "net/options.h"

namespace gbgreg::net {

class Connection;

// Read buffers of one size, kept for the next connection instead of being freed.
class BufferPool {
 public:
  static constexpr std::size_t kBufferBytes = 16 * 1024;
  static constexpr std::size_t kKeptMax = 256;
  BufferPool() { kept_.reserve(kKeptMax); }
  std::unique_ptr<char[]> take();
  // For destructors, so it needs no memory.
  void give_back(std::unique_ptr<char[]> buffer) noexcept;

 private:
  std::vector<std::unique_ptr<char[]>> kept_;
};

// Idle connections to backends, by address, each of use for a few seconds. Those that are too old are closed now and
// then when another is kept, whatever its address: a worker's changes with every life of it, and then nobody asks for
// the old one.
class IdleConnections {
 public:
  static constexpr std::size_t kAddressesMax = 64;
  IdleConnections(std::size_t per_backend_max, std::chrono::milliseconds kept_max);
  ~IdleConnections();
  // Null when there is none that is fit for a request: not too old, not closed by the backend, and without bytes that
  // nobody asked for, which the next request would take for its answer.
  std::unique_ptr<Connection> take(const std::string& address);
  // Closes it when there are enough of them, and when there is no memory to keep it: destructors call this.
  void keep(const std::string& address, std::unique_ptr<Connection> connection) noexcept;

 private:
  void drop_older_than(SteadyTime oldest);

  struct Idle {
    std::unique_ptr<Connection> connection;
    SteadyTime since;
  };
  std::size_t per_backend_max_;
  std::chrono::milliseconds kept_max_;
  std::unordered_map<std::string, std::vector<Idle>> by_address_;
  SteadyTime next_sweep_{};
};

class IoThread {
 public:
  IoThread(int index, const Options& options);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  int index() const { return index_; }
  const Options& options() const { return options_; }
  IoContext& context() { return context_; }
  Executor executor() { return context_.get_executor(); }
  DeadlineWheel& deadlines() { return deadlines_; }
  BufferPool& buffers() { return buffers_; }
  IdleConnections& idle_connections() { return idle_connections_; }
  // "Mon, 23 Nov 2026 10:00:00 GMT", made once a second.
  std::string_view http_date();

 private:
  int index_;
  const Options& options_;
  IoContext context_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};  // No lock for what only this thread touches: its sockets.
  DeadlineWheel deadlines_{context_};
  BufferPool buffers_;
  IdleConnections idle_connections_;
  std::time_t date_second_ = 0;
  std::string date_;
};

}  // namespace gbgreg::net

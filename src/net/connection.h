// One socket, TCP or Unix, with a read buffer and a deadline for each wait. Used by both sides: sessions and client.
//
// One I/O thread, one task at a time. Error codes end here: above are Results.
#pragma once

#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string_view>

#include "core/core.h"
#include "net/deadline_wheel.h"
#include "net/io_thread.h"

namespace gbgreg::net {

using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

class Connection {
 public:
  Connection(IoThread& io, Socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Socket& socket() { return socket_; }
  IoThread& io() { return io_; }

  // Bytes that arrived and were not consumed. The view holds until the next fill.
  std::string_view unread() const { return {buffer_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t size);

  // Gives an empty buffer back, so that an idle connection costs little; the next fill takes one when bytes are there.
  void release_buffer();

  // Waits for more bytes behind the unread ones and returns how many came; 0 when the peer has closed. A buffer taken
  // here has `capacity_max` bytes when that is more than a pooled one's. Errors: timed_out, cancelled, backend_failed
  // (reset by the peer), too_large when `capacity_max` bytes are unread already.
  Task<Result<std::size_t>> fill(std::size_t capacity_max, std::chrono::milliseconds timeout);

  // Writes all of it. The timeout is for each piece that the peer takes, so that a slow but living reader is served.
  // Errors: timed_out, cancelled, backend_failed (the peer is gone).
  Task<Result<void>> write(std::span<const asio::const_buffer> pieces, std::chrono::milliseconds timeout);

  void close() noexcept;

 private:
  class Timer final : public Deadline {
   public:
    explicit Timer(Connection& connection) : connection_(connection) {}
    bool fired = false;

   private:
    void expired() override;
    Connection& connection_;
  };

  void start_timer(std::chrono::milliseconds timeout);
  Error to_error(const boost::system::error_code& error) const;
  void make_room(std::size_t capacity_max);

  IoThread& io_;
  Socket socket_;
  Timer timer_{*this};
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace gbgreg::net

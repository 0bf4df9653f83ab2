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
#include <tuple>

#include "core/core.h"
#include "net/deadline_wheel.h"
#include "net/io_thread.h"
#include "net/patience.h"
#include "net/tls_stream.h"

namespace gbgreg::net {

using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

// What is left of a write.
struct Unsent {
  static constexpr std::size_t kPiecesMax = 8;
  std::array<asio::const_buffer, kPiecesMax> pieces{};
  std::size_t count = 0;

  Unsent() = default;
  // Leaves out what is empty. At most kPiecesMax.
  explicit Unsent(std::span<const asio::const_buffer> all) {
    for (const auto& piece : all) {
      if (piece.size() > 0) pieces[count++] = piece;
    }
  }
  bool empty() const { return first_ == count; }
  std::span<const asio::const_buffer> rest() const { return {pieces.data() + first_, count - first_}; }
  void took(std::size_t size) {
    while (first_ < count && size >= pieces[first_].size()) size -= pieces[first_++].size();
    if (first_ < count) pieces[first_] += size;
  }

 private:
  std::size_t first_ = 0;
};

class Connection {
 public:
  Connection(IoThread& io, Socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Socket& socket() { return socket_; }
  IoThread& io() { return io_; }

  // From here on everything that is read and written goes through `tls`, as soon as secure() is over.
  void secure_with(std::unique_ptr<TlsStream> tls) { tls_ = std::move(tls); }
  bool is_secure() const { return tls_ != nullptr; }
  const TlsStream* tls() const { return tls_.get(); }
  bool owes_handshake() const { return tls_ != nullptr && !tls_->is_open(); }
  // Errors: timed_out, cancelled, malformed (plain HTTP came, and the answer may go out in plain text, too),
  // backend_failed (anything else that is no handshake).
  Task<Result<void>> secure(std::chrono::milliseconds timeout);

  // Errors: timed_out, cancelled, backend_failed (refused).
  Task<Result<void>> connect(Socket::endpoint_type peer, std::chrono::milliseconds timeout);

  // Bytes that arrived and were not consumed. The view holds until the next fill.
  std::string_view unread() const { return {buffer_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t size);

  // Of the buffer; zero when there is none.
  std::size_t capacity() const { return capacity_; }

  // Gives an empty buffer back, so that an idle connection costs little; the next fill takes one when bytes are there.
  void release_buffer();

  // Takes a buffer now, so that the next fill reads at once instead of waiting for bytes first: one system call less,
  // for a connection on which they are sure to come.
  void take_buffer(std::size_t capacity_max) {
    if (buffer_ == nullptr) make_room(capacity_max);
  }

  // Waits for more bytes behind the unread ones and returns how many came; 0 when the peer has closed. A buffer taken
  // here has `capacity_max` bytes when that is more than a pooled one's. Errors: timed_out, cancelled, backend_failed
  // (reset by the peer), too_large when `capacity_max` bytes are unread already.
  Task<Result<std::size_t>> fill(std::size_t capacity_max, std::chrono::milliseconds timeout);
  // The same, and the wait is taken off `patience`, which bounds it.
  Task<Result<std::size_t>> fill(std::size_t capacity_max, Patience& patience);

  // Writes what the system takes at once, which is nearly always all of it: no coroutine, no timer. What is left is for
  // write(), and so is finding out why.
  Unsent write_now(std::span<const asio::const_buffer> pieces) noexcept;

  // Writes all of it. What the peer lets us wait is taken off `patience`, which bounds it; `deadline` bounds it as a
  // whole. Errors: timed_out, cancelled, backend_failed (the peer is gone).
  Task<Result<void>> write(std::span<const asio::const_buffer> pieces, Patience& patience,
                           SteadyTime deadline = SteadyTime::max());
  // The same with a timeout for each piece that the peer takes, for peers that we chose ourselves.
  Task<Result<void>> write(std::span<const asio::const_buffer> pieces, std::chrono::milliseconds timeout,
                           SteadyTime deadline = SteadyTime::max());

  // True when the peer has neither closed nor said anything that nobody asked for.
  bool is_quiet();

  enum class Peer : std::uint8_t { is_silent, has_spoken, has_left };
  // What the peer did, without taking anything of what it sent.
  Peer look_at_peer();

  // Says that nothing more comes and that nothing is missing. What the peer still sends may be read, as bytes without a
  // meaning, to be dropped.
  Task<void> say_goodbye(std::chrono::milliseconds timeout);
  // The same for a connection that closes now: without a wait, so the peer may not hear it.
  void say_goodbye() noexcept;

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

  using Written = std::tuple<boost::system::error_code, std::size_t>;
  Task<boost::system::error_code> wait_for(TlsStream::Step step);
  Task<Result<std::size_t>> fill_secure(std::size_t capacity_max);
  Task<Written> write_some_secure(std::span<const asio::const_buffer> pieces);
  std::size_t taken_since(std::size_t written);
  void start_timer(std::chrono::milliseconds timeout);
  Error to_error(const boost::system::error_code& error) const;
  void make_room(std::size_t capacity_max);

  IoThread& io_;
  Socket socket_;
  Timer timer_{*this};
  std::unique_ptr<TlsStream> tls_;  // Null when the connection is plain.
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t queued_ = 0;  // Bytes that were written and not taken by the peer, when it was last looked.
};

}  // namespace gbgreg::net

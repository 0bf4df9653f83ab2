#include "net/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstring>
#include <vector>

namespace gbgreg::net {
namespace {

// A write that is over so soon did not wait for the peer.
constexpr std::chrono::milliseconds kNoWait{1};

// A session has words of its own for a slow client, so whoever reads this one waits for a model's server.
Error too_slow() {
  return {.kind = Kind::timed_out,
          .code = "timed_out",
          .message = "The model's server did not answer in time. Try again; GET /health says how it is.",
          .detail = "the other side of a connection was too slow"};
}

}  // namespace

Connection::Connection(IoThread& io, Socket socket) : io_(io), socket_(std::move(socket)) {}

Connection::~Connection() {
  begin_ = end_ = 0;
  release_buffer();
}

void Connection::Timer::expired() {
  fired = true;
  boost::system::error_code ignored;
  connection_.socket_.cancel(ignored);
}

void Connection::start_timer(std::chrono::milliseconds timeout) {
  timer_.fired = false;
  io_.deadlines().arm(timer_, timeout);
}

Task<Result<void>> Connection::connect(Socket::endpoint_type peer, std::chrono::milliseconds timeout) {
  start_timer(timeout);
  auto [error] = co_await socket_.async_connect(peer, use_tuple);
  timer_.disarm();
  if (error) co_return std::unexpected(to_error(error));
  co_return Result<void>{};
}

void Connection::consume(std::size_t size) {
  begin_ += size;
  if (begin_ == end_) begin_ = end_ = 0;
}

void Connection::release_buffer() {
  if (begin_ != end_) return;
  if (capacity_ == BufferPool::kBufferBytes) io_.buffers().give_back(std::move(buffer_));
  buffer_.reset();
  capacity_ = begin_ = end_ = 0;
}

// Takes a buffer, or moves what is unread to the front, or grows the buffer when that leaves no room.
void Connection::make_room(std::size_t capacity_max) {
  if (buffer_ == nullptr) {
    const bool pooled = capacity_max <= BufferPool::kBufferBytes * 4;  // A head seldom needs more than the pooled size.
    capacity_ = pooled ? BufferPool::kBufferBytes : capacity_max;
    buffer_ = pooled ? io_.buffers().take() : std::make_unique_for_overwrite<char[]>(capacity_);
    return;
  }
  if (end_ < capacity_) return;
  const std::size_t size = end_ - begin_;
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, size);
  } else {
    auto larger = std::make_unique_for_overwrite<char[]>(capacity_ * 2);
    std::memcpy(larger.get(), buffer_.get(), size);
    if (capacity_ == BufferPool::kBufferBytes) io_.buffers().give_back(std::move(buffer_));
    buffer_ = std::move(larger);
    capacity_ *= 2;
  }
  begin_ = 0;
  end_ = size;
}

Task<Result<std::size_t>> Connection::fill(std::size_t capacity_max, std::chrono::milliseconds timeout) {
  if (end_ - begin_ >= capacity_max)
    co_return fail(Kind::too_large, "buffer_full", "More bytes came than are allowed.");
  start_timer(timeout);
  if (tls_ != nullptr) co_return co_await fill_secure(capacity_max);
  if (buffer_ == nullptr) {
    auto [error] = co_await socket_.async_wait(Socket::wait_read, use_tuple);
    if (error) {
      timer_.disarm();
      co_return std::unexpected(to_error(error));
    }
  }
  make_room(capacity_max);
  auto space = asio::buffer(buffer_.get() + end_, capacity_ - end_);
  auto [error, size] = co_await socket_.async_read_some(space, use_tuple);
  timer_.disarm();
  if (error == asio::error::eof) co_return std::size_t{0};
  if (error) co_return std::unexpected(to_error(error));
  end_ += size;
  co_return size;
}

Task<Result<std::size_t>> Connection::fill(std::size_t capacity_max, Patience& patience) {
  if (patience.used_up()) co_return std::unexpected(too_slow());
  const SteadyTime began = std::chrono::steady_clock::now();
  auto size = co_await fill(capacity_max, patience.left());
  patience.waited(std::chrono::steady_clock::now() - began, size.value_or(0));
  co_return size;
}

Task<Result<void>> Connection::write(std::span<const asio::const_buffer> pieces, std::chrono::milliseconds timeout,
                                     SteadyTime deadline) {
  Patience patience(timeout);
  co_return co_await write(pieces, patience, deadline);
}

Task<Result<void>> Connection::write(std::span<const asio::const_buffer> pieces, Patience& patience,
                                     SteadyTime deadline) {
  Unsent left(pieces);
  while (!left.empty()) {
    const SteadyTime began = std::chrono::steady_clock::now();
    if (patience.used_up() || began >= deadline) co_return std::unexpected(too_slow());
    start_timer(std::min(patience.left(), std::chrono::ceil<std::chrono::milliseconds>(deadline - began)));
    auto [error, size] = tls_ == nullptr ? co_await socket_.async_write_some(left.rest(), use_tuple)
                                         : co_await write_some_secure(left.rest());
    timer_.disarm();
    const auto waited = std::chrono::steady_clock::now() - began;
    const std::size_t sent = tls_ == nullptr ? size : tls_->take_sent();
    if (!error && waited < kNoWait) {
      queued_ += sent;  // Nobody kept us waiting, and asking the system how much is left would cost as much as a write.
    } else {
      patience.waited(waited, taken_since(sent));
    }
    // The system lets us write again only when a good part of its queue is gone, and that can be megabytes: when the
    // time is up before, what the peer took of the queue decides.
    const bool is_time_up = error == asio::error::operation_aborted && timer_.fired;
    if (is_time_up) continue;
    if (error) co_return std::unexpected(to_error(error));
    left.took(size);
  }
  co_return Result<void>{};
}

Unsent Connection::write_now(std::span<const asio::const_buffer> pieces) noexcept {
  Unsent left(pieces);
  if (tls_ != nullptr) return left;  // Its records are write()'s business.
  std::array<iovec, Unsent::kPiecesMax> vectors{};
  for (std::size_t i = 0; i < left.count; ++i) {
    vectors[i] = {.iov_base = const_cast<void*>(left.pieces[i].data()), .iov_len = left.pieces[i].size()};
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = left.count;
  const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent <= 0) return left;
  queued_ += static_cast<std::size_t>(sent);
  left.took(static_cast<std::size_t>(sent));
  return left;
}

// How many bytes went over to the peer since the last call, after which `written` more were put into the system's
// queue. Over to its system, that is, which takes no more when nobody reads there.
std::size_t Connection::taken_since(std::size_t written) {
  int bytes = 0;
  const bool is_known = ioctl(socket_.native_handle(), SIOCOUTQ, &bytes) == 0 && bytes > 0;
  const std::size_t before = queued_ + written;
  queued_ = is_known ? static_cast<std::size_t>(bytes) : 0;
  return before - std::min(before, queued_);  // A Unix socket counts what its queue costs, which may be a little more.
}

Error Connection::to_error(const boost::system::error_code& error) const {
  if (timer_.fired) return too_slow();
  if (error == asio::error::operation_aborted) {
    return {.kind = Kind::cancelled, .code = "cancelled", .message = "The request was cancelled."};
  }
  return {.kind = Kind::backend_failed,
          .code = "connection_lost",
          .message = "The connection was lost.",
          .detail = error.message()};
}

bool Connection::is_quiet() {
  // What TLS has to say between two requests, such as a ticket, is read by looking.
  if (tls_ != nullptr) return begin_ == end_ && look_at_peer() == Peer::is_silent;
  char byte = 0;
  const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && begin_ == end_;
}

void Connection::close() noexcept {
  timer_.disarm();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace gbgreg::net

// What a connection does when it is not a plain one: TlsStream takes the steps, and here is waited for the socket
// between them.
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstring>

#include "net/connection.h"

namespace gbgreg::net {
namespace {

using Step = TlsStream::Step;

bool wants_more(Step step) { return step == Step::wants_read || step == Step::wants_write; }

Error broken(std::string_view reason) {
  return {.kind = Kind::backend_failed,
          .code = "connection_lost",
          .message = "The connection was lost.",
          .detail = "TLS: " + std::string(reason)};
}

// Short pieces go into one record: each record costs a system call and 22 bytes.
asio::const_buffer gather(std::span<const asio::const_buffer> pieces, char* space, std::size_t space_size) {
  if (pieces.size() == 1 || pieces.front().size() >= space_size) return pieces.front();
  std::size_t size = 0;
  for (const asio::const_buffer& piece : pieces) {
    const std::size_t taken = std::min(piece.size(), space_size - size);
    std::memcpy(space + size, piece.data(), taken);
    size += taken;
  }
  return {space, size};
}

}  // namespace

Task<boost::system::error_code> Connection::wait_for(Step step) {
  const auto what = step == Step::wants_read ? Socket::wait_read : Socket::wait_write;
  auto [error] = co_await socket_.async_wait(what, use_tuple);
  co_return error;
}

Task<Result<void>> Connection::secure(std::chrono::milliseconds timeout) {
  start_timer(timeout);  // For all of it.
  Step step = tls_->shake_hands();
  while (wants_more(step)) {
    const auto error = co_await wait_for(step);
    if (error) {
      timer_.disarm();
      co_return std::unexpected(to_error(error));
    }
    step = tls_->shake_hands();
  }
  timer_.disarm();
  queued_ += tls_->take_sent();
  if (step == Step::done) co_return Result<void>{};
  if (tls_->heard_plain_http()) {
    tls_.reset();
    co_return fail(Kind::malformed, "https_expected",
                   "This port speaks HTTPS, and the request came in plain HTTP. Use https:// in its address.");
  }
  co_return std::unexpected(broken(step == Step::closed ? "closed inside the handshake" : tls_->reason()));
}

Task<Result<std::size_t>> Connection::fill_secure(std::size_t capacity_max) {
  boost::system::error_code error;
  if (buffer_ == nullptr && !tls_->has_pending()) error = co_await wait_for(Step::wants_read);
  std::size_t filled = 0;
  while (!error) {
    make_room(capacity_max);
    const TlsStream::Moved moved = tls_->read({buffer_.get() + end_, capacity_ - end_});
    if (moved.step == Step::done) {
      end_ += moved.size;
      filled += moved.size;
      // A record holds 16 KB at most, and who has a large buffer wants more at a time.
      const bool may_be_more = tls_->has_pending() || capacity_ > BufferPool::kBufferBytes;
      if (end_ < capacity_ && may_be_more) continue;
      break;
    }
    if (filled > 0 || moved.step == Step::closed) break;  // What else there is to say, the next fill hears.
    if (moved.step == Step::failed) {
      timer_.disarm();
      co_return std::unexpected(broken(tls_->reason()));
    }
    error = co_await wait_for(moved.step);
  }
  timer_.disarm();
  if (error) co_return std::unexpected(to_error(error));
  co_return filled;
}

// As async_write_some, with plain text. Called again after a timer ran out it begins with the same bytes, as TlsStream
// wants it.
Task<Connection::Written> Connection::write_some_secure(std::span<const asio::const_buffer> pieces) {
  auto space = pieces.size() > 1 ? io_.buffers().take() : nullptr;
  const asio::const_buffer piece = gather(pieces, space.get(), BufferPool::kBufferBytes);
  boost::system::error_code error;
  TlsStream::Moved moved = tls_->write(piece);
  while (wants_more(moved.step)) {
    error = co_await wait_for(moved.step);
    if (error) break;
    moved = tls_->write(piece);
  }
  if (space != nullptr) io_.buffers().give_back(std::move(space));
  if (!error && moved.step != Step::done) error = asio::error::connection_reset;
  co_return Written{error, error ? 0 : moved.size};
}

Connection::Peer Connection::look_at_peer() {
  if (tls_ == nullptr) {
    char byte = 0;
    const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return Peer::has_spoken;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? Peer::is_silent : Peer::has_left;
  }
  const Step step = tls_->peek();
  if (step == Step::done) return Peer::has_spoken;
  return wants_more(step) ? Peer::is_silent : Peer::has_left;
}

Task<void> Connection::say_goodbye(std::chrono::milliseconds timeout) {
  if (tls_ != nullptr && tls_->is_open()) {
    start_timer(timeout);
    Step step = tls_->say_goodbye();
    while (wants_more(step)) {
      const auto error = co_await wait_for(step);
      if (error) break;
      step = tls_->say_goodbye();
    }
    timer_.disarm();
  }
  tls_.reset();
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void Connection::say_goodbye() noexcept {
  if (tls_ != nullptr && tls_->is_open()) (void)tls_->say_goodbye();
}

}  // namespace gbgreg::net

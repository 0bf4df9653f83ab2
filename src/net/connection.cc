#include "net/connection.h"

#include <boost/asio/error.hpp>
#include <cstring>
#include <vector>

namespace gbgreg::net {

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

Task<Result<void>> Connection::write(std::span<const asio::const_buffer> pieces, std::chrono::milliseconds timeout) {
  constexpr std::size_t kPiecesMax = 8;
  std::array<asio::const_buffer, kPiecesMax> left{};
  std::size_t count = 0;
  for (const auto& piece : pieces) {
    if (piece.size() > 0) left[count++] = piece;
  }
  std::size_t first = 0;
  while (first < count) {
    start_timer(timeout);
    const std::span<const asio::const_buffer> rest(left.data() + first, count - first);
    auto [error, size] = co_await socket_.async_write_some(rest, use_tuple);
    timer_.disarm();
    if (error) co_return std::unexpected(to_error(error));
    while (first < count && size >= left[first].size()) size -= left[first++].size();
    if (first < count) left[first] += size;
  }
  co_return Result<void>{};
}

Error Connection::to_error(const boost::system::error_code& error) const {
  if (timer_.fired) return {.kind = Kind::timed_out, .code = "timed_out", .message = "The other side was too slow."};
  if (error == asio::error::operation_aborted) {
    return {.kind = Kind::cancelled, .code = "cancelled", .message = "The request was cancelled."};
  }
  return {.kind = Kind::backend_failed,
          .code = "connection_lost",
          .message = "The connection was lost.",
          .detail = error.message()};
}

void Connection::close() noexcept {
  timer_.disarm();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace gbgreg::net

#include "net/session.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <optional>
#include <utility>

namespace gbgreg::net {
namespace {

// `bytes` is what came of a head that is over its bound. Where not even the request line ends, its target is to blame.
Error head_too_large(std::string_view bytes, std::size_t bytes_max) {
  if (!bytes.contains('\n')) {
    return {.kind = Kind::target_too_long,
            .code = "target_too_long",
            .message = "The request target is longer than a whole head may be: " + std::to_string(bytes_max) +
                       " bytes. Send what is long in a body."};
  }
  return {.kind = Kind::head_too_large,
          .code = "head_too_large",
          .message = "The request's head may have at most " + std::to_string(bytes_max) + " bytes."};
}

// Of the memory for heads, on a connection that waits for its next request.
constexpr std::size_t kHeadBytesKept = 1024;

Patience new_patience(std::chrono::milliseconds grace, const Options& options) {
  return {grace, options.client_bytes_per_second_min};
}

}  // namespace

Session::Session(IoThread& io, Socket socket, std::string peer, Handler& handler, const DrainFlag& drain)
    : connection_(io, std::move(socket)),
      peer_(std::move(peer)),
      handler_(handler),
      drain_(drain),
      write_patience_(new_patience(io.options().write_grace, io.options())),
      body_patience_(new_patience(io.options().body_grace, io.options())) {}

Task<void> Session::run() {
  // The server holds this session only as long as it runs.
  const auto self = shared_from_this();
  while (true) {
    reset_for_next_request();
    HeadRead read = connection_.owes_handshake() ? co_await greet() : HeadRead::request;
    if (read == HeadRead::request) read = co_await find_head();
    if (read == HeadRead::closed) {
      close_idle();
      break;
    }
    if (read == HeadRead::request) read = take_head();
    if (read == HeadRead::request) {
      co_await handler_.handle(*this);
    } else {
      Error refused = std::move(head_error_);
      co_await handler_.refuse(*this, std::move(refused));
    }
    stop_watching();
    if (!finished_) {
      // The handler left without a whole answer: the only honest end is a broken connection.
      connection_.close();
      break;
    }
    if (!keep_alive_ || drain_.draining) {
      co_await linger();
      break;
    }
    connection_.consume(handed_out_);
    handed_out_ = 0;
  }
}

void Session::reset_for_next_request() {
  head_ = RequestHead{};
  decoder_ = BodyDecoder{};
  body_patience_ = new_patience(io().options().body_grace, io().options());
  large_pieces_ = false;
  fields_.clear();
  late_fields_ = nullptr;
  out_.clear();
  rest_.clear();
  answer_ = Answer::none;
  owed_bytes_ = 0;
  status_ = 0;
  begun_ = finished_ = keep_alive_ = is_head_request_ = continue_owed_ = false;
  body_bytes_read_ = body_bytes_written_ = 0;
}

Session::HeadRead Session::refuse_head(Error error) {
  head_error_ = std::move(error);
  return HeadRead::refused;
}

// The peer may know that nothing of an answer is missing.
void Session::close_idle() noexcept {
  connection_.say_goodbye();
  connection_.close();
}

// The handshake of TLS. Who speaks plain HTTP instead gets an answer that says so.
Task<Session::HeadRead> Session::greet() {
  idle_ = true;
  auto secured = co_await connection_.secure(io().options().head_timeout);
  idle_ = false;
  if (secured) co_return HeadRead::request;
  if (secured.error().kind == Kind::malformed) co_return refuse_head(std::move(secured.error()));
  if (secured.error().kind != Kind::cancelled) spdlog::info("no TLS with {}: {}", peer_, secured.error().detail);
  co_return HeadRead::closed;
}

// Understands the head that was found.
Session::HeadRead Session::take_head() {
  const Options& options = connection_.io().options();
  auto head = parse_request_head(head_bytes_, options);
  if (!head) return refuse_head(std::move(head.error()));
  head_ = std::move(*head);
  is_head_request_ = head_.method == "HEAD";
  keep_alive_ = head_.keep_alive;
  continue_owed_ = head_.expects_continue;
  decoder_ = BodyDecoder(head_, options);
  return HeadRead::request;
}

// Waits for a whole head and moves it to head_bytes_. Its time runs from its first byte and not anew for each.
Task<Session::HeadRead> Session::find_head() {
  const Options& options = connection_.io().options();
  std::optional<SteadyTime> until;
  std::size_t empty_lines = 0;
  std::size_t searched = 0;
  std::size_t end = 0;
  bool may_keep_buffer = connection_.capacity() > 0;
  while (true) {
    // Empty lines before a request are left over by some old clients (RFC 9112, 2.2).
    while (connection_.unread().starts_with("\r\n")) {
      connection_.consume(2);
      searched = 0;
      if (++empty_lines > options.empty_lines_max) {
        co_return refuse_head({.kind = Kind::malformed,
                               .code = "malformed_http",
                               .message = "Too many empty lines stand before the request line."});
      }
    }
    end = find_head_end(connection_.unread(), searched);
    if (end != std::string_view::npos) break;
    searched = connection_.unread().size();
    idle_ = searched == 0;
    if (idle_ && drain_.draining) co_return HeadRead::closed;
    // Most clients that keep their connection ask again at once, and a read with a buffer costs less than a wait first.
    const bool keeps_buffer = idle_ && std::exchange(may_keep_buffer, false);
    if (idle_ && !keeps_buffer) {
      connection_.release_buffer();
      // A large head is not kept for the time between two requests, nor is its memory.
      if (head_bytes_.capacity() > kHeadBytesKept) head_bytes_ = std::string();
      until.reset();
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!idle_ && !until) until = now + options.head_timeout;
    if (!idle_ && now >= *until) co_return HeadRead::closed;
    const auto timeout = keeps_buffer ? options.idle_buffer_timeout
                         : idle_      ? options.idle_timeout
                                      : std::chrono::ceil<std::chrono::milliseconds>(*until - now);
    auto size = co_await connection_.fill(options.head_bytes_max, timeout);
    if (keeps_buffer && !size && size.error().kind == Kind::timed_out) continue;
    idle_ = false;
    if (!size && size.error().kind == Kind::too_large) {
      co_return refuse_head(head_too_large(connection_.unread(), options.head_bytes_max));
    }
    if (!size || *size == 0) co_return HeadRead::closed;
  }
  // A head that came together with the body before it was not bounded by the reading.
  if (end > options.head_bytes_max) {
    co_return refuse_head(head_too_large(connection_.unread().substr(0, end), options.head_bytes_max));
  }
  head_bytes_.assign(connection_.unread().substr(0, end));
  connection_.consume(end);
  co_return HeadRead::request;
}

Task<Result<std::string_view>> Session::read_body() {
  if (continue_owed_ && !begun_ && connection_.unread().size() == handed_out_) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const std::array<asio::const_buffer, 1> pieces{asio::buffer(kContinue)};
    auto sent = co_await send(Unsent(pieces));
    if (!sent) co_return std::unexpected(std::move(sent.error()));
  }
  continue_owed_ = false;
  while (true) {
    if (auto piece = body_at_hand()) co_return std::move(*piece);
    auto filled = co_await fill_body();
    if (filled) continue;
    keep_alive_ = false;
    co_return std::unexpected(std::move(filled.error()));
  }
}

std::optional<Result<std::string_view>> Session::body_at_hand() {
  connection_.consume(std::exchange(handed_out_, 0));
  while (!decoder_.done()) {
    auto step = decoder_.decode(connection_.unread());
    if (!step) {
      keep_alive_ = false;
      return std::unexpected(std::move(step.error()));
    }
    if (!step->data.empty()) {
      handed_out_ = step->consumed;
      body_bytes_read_ += step->data.size();
      return step->data;
    }
    connection_.consume(step->consumed);
    if (step->consumed == 0 && !decoder_.done()) return std::nullopt;
  }
  return std::string_view{};
}

// Waits for more bytes of the body. Nothing is unread now: the decoder takes whatever there is.
Task<Result<void>> Session::fill_body() {
  const Options& options = connection_.io().options();
  const bool is_small = head_.framing == Framing::length && head_.content_length <= options.piece_bytes_max;
  const bool large = large_pieces_ && !is_small;
  const std::size_t piece_bytes_max = large ? options.large_piece_bytes_max : options.piece_bytes_max;
  if (connection_.capacity() < piece_bytes_max) connection_.release_buffer();
  auto size = co_await connection_.fill(piece_bytes_max, body_patience_);
  if (!size && size.error().kind == Kind::timed_out) {
    co_return fail(Kind::request_timeout, "body_timeout",
                   "The body came too slowly: " + std::to_string(options.client_bytes_per_second_min) +
                       " bytes a second are the least, after " + std::to_string(options.body_grace.count() / 1000) +
                       " s of grace. Send the request again.");
  }
  if (!size || *size == 0) {
    co_return fail(Kind::cancelled, "client_left", "The client left before its request was complete.");
  }
  co_return Result<void>{};
}

void Session::cancel_when_client_leaves() {
  // Bytes of the next request hide what comes behind them; such a client is noticed when the answer is written.
  if (watching_ || !decoder_.done() || connection_.unread().size() > handed_out_) return;
  watching_ = true;
  watch();
}

void Session::watch() {
  auto look = [self = shared_from_this(), watch = watches_ended_](const boost::system::error_code& error,
                                                                  std::size_t = 0) {
    if (!self->watching_ || self->watches_ended_ != watch || !self->connection_.socket().is_open()) return;
    // The timer of a write cancels all that waits for the socket, this too, and the write may well go on.
    if (error == asio::error::operation_aborted) return self->watch();
    const Connection::Peer peer = error ? Connection::Peer::has_left : self->connection_.look_at_peer();
    if (peer == Connection::Peer::is_silent) return self->watch();
    self->watching_ = false;
    if (peer == Connection::Peer::has_left) self->cancel_.emit(asio::cancellation_type::terminal);
  };
  // To wait for a byte asks the system to look anew (epoll_ctl), and to receive one waits for the news that come
  // anyway. Under TLS it has to be a wait, since what comes may be no byte of the client's.
  if (connection_.is_secure()) return connection_.socket().async_wait(Socket::wait_read, std::move(look));
  connection_.socket().async_receive(asio::buffer(&peeked_, 1), asio::socket_base::message_peek, std::move(look));
}

void Session::stop_watching() {
  if (!watching_) return;
  watching_ = false;
  ++watches_ended_;
  boost::system::error_code ignored;
  connection_.socket().cancel(ignored);
}

void Session::add_field(std::string_view name, std::string value) {
  fields_.push_back({.name = name, .value = std::move(value)});
}

void Session::write_head(int status, std::string_view content_type, const HeaderFields& fields) {
  status_ = status;
  // A head that was begun and never left gives way to this one, which is then that of an error.
  out_.clear();
  answer_ = Answer::none;
  // What is left of an unread body would be taken for the next request.
  if (!decoder_.done()) keep_alive_ = false;
  if (drain_.draining) keep_alive_ = false;
  out_.reserve(512);
  out_.append(head_.minor_version == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
  out_.append(std::to_string(status)).append(" ").append(reason_phrase(status)).append("\r\nDate: ");
  out_.append(io().http_date()).append("\r\n");
  if (!content_type.empty()) out_.append("Content-Type: ").append(content_type).append("\r\n");
  const auto append_fields = [this](const HeaderFields& list) {
    for (const HeaderField& field : list) out_.append(field.name).append(": ").append(field.value).append("\r\n");
  };
  append_fields(fields_);
  if (late_fields_ != nullptr) late_fields_->append_to(out_);
  append_fields(fields);
  if (!keep_alive_) {
    out_.append("Connection: close\r\n");
  } else if (head_.minor_version == 0) {
    out_.append("Connection: keep-alive\r\n");
  }
}

Task<Result<void>> Session::send(Unsent unsent) {
  auto sent = co_await connection_.write(unsent.rest(), write_patience_);
  if (!sent) {
    keep_alive_ = false;
    const bool slow = sent.error().kind == Kind::timed_out;
    co_return fail(Kind::cancelled, "client_left", "The client left before it had its answer.",
                   slow ? "it read its answer too slowly" : sent.error().message);
  }
  co_return Result<void>{};
}

Task<Result<void>> Session::respond(int status, std::string_view content_type, std::string_view body,
                                    HeaderFields fields) {
  write_head(status, content_type, fields);
  if (status >= 200 && status != 204 && status != 304) {
    out_.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  out_.append("\r\n");
  if (is_head_request_) body = {};
  const std::array<asio::const_buffer, 2> pieces{asio::buffer(out_), asio::buffer(body)};
  begun_ = true;
  if (const Unsent unsent = connection_.write_now(pieces); !unsent.empty()) {
    auto sent = co_await send(unsent);
    if (!sent) co_return std::unexpected(std::move(sent.error()));
  }
  body_bytes_written_ = body.size();
  finished_ = true;
  co_return Result<void>{};
}

void Session::begin_sized(int status, std::string_view content_type, std::uint64_t length, HeaderFields fields) {
  write_head(status, content_type, fields);
  out_.append("Content-Length: ").append(std::to_string(length)).append("\r\n\r\n");
  answer_ = Answer::sized;
  owed_bytes_ = length;
}

void Session::begin_stream(int status, std::string_view content_type, HeaderFields fields) {
  const Answer answer = head_.minor_version == 0 ? Answer::until_close : Answer::chunked;
  if (answer == Answer::until_close) keep_alive_ = false;
  write_head(status, content_type, fields);
  answer_ = answer;
  out_.append(answer_ == Answer::chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
}

// One gathered write: the head (first time only), the chunk's size, the piece, the chunk's end. What is left refers to
// out_, to `frame` and to the piece.
Unsent Session::write_framed(std::string_view piece, Frame& frame) {
  if (answer_ == Answer::sized) owed_bytes_ -= std::min<std::uint64_t>(owed_bytes_, piece.size());
  std::size_t length = 0;
  if (answer_ == Answer::chunked) {
    char* end = std::to_chars(frame.data(), frame.data() + 16, piece.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    length = static_cast<std::size_t>(end - frame.data());
  }
  const std::array<asio::const_buffer, 4> pieces{asio::buffer(out_), asio::buffer(frame.data(), length),
                                                 asio::buffer(piece), asio::buffer("\r\n", length > 0 ? 2 : 0)};
  begun_ = true;
  body_bytes_written_ += piece.size();
  return connection_.write_now(pieces);
}

Task<Result<void>> Session::write(std::string_view piece) {
  if (is_head_request_ || piece.empty()) co_return Result<void>{};
  Frame frame;
  if (const Unsent unsent = write_framed(piece, frame); !unsent.empty()) {
    auto sent = co_await send(unsent);
    if (!sent) co_return std::unexpected(std::move(sent.error()));
  }
  out_.clear();
  co_return Result<void>{};
}

bool Session::write_at_once(std::string_view piece) {
  if (is_head_request_ || piece.empty()) return true;
  Frame frame;
  const Unsent unsent = write_framed(piece, frame);
  for (const auto& left : unsent.rest()) rest_.append(static_cast<const char*>(left.data()), left.size());
  out_.clear();
  return rest_.empty();
}

Task<Result<void>> Session::flush() {
  const std::string rest = std::exchange(rest_, {});
  const std::array<asio::const_buffer, 1> pieces{asio::buffer(rest)};
  co_return co_await send(Unsent(pieces));
}

Task<Result<void>> Session::finish() {
  const bool closing_chunk = answer_ == Answer::chunked && !is_head_request_;
  const std::array<asio::const_buffer, 2> pieces{asio::buffer(out_), asio::buffer("0\r\n\r\n", closing_chunk ? 5 : 0)};
  begun_ = true;
  if (const Unsent unsent = connection_.write_now(pieces); !unsent.empty()) {
    auto sent = co_await send(unsent);
    if (!sent) co_return std::unexpected(std::move(sent.error()));
  }
  out_.clear();
  // A sized answer that fell short must not be followed by another on the same connection.
  if (answer_ == Answer::sized && owed_bytes_ > 0 && !is_head_request_) keep_alive_ = false;
  finished_ = true;
  co_return Result<void>{};
}

// Closes so that the answer arrives: bytes that are still coming in would make the kernel reset the connection, and the
// client would lose an answer that it had not read yet.
Task<void> Session::linger() {
  const Options& options = io().options();
  co_await connection_.say_goodbye(options.linger_timeout);
  connection_.consume(connection_.unread().size());
  handed_out_ = 0;
  const SteadyTime until = std::chrono::steady_clock::now() + options.linger_total_max;
  while (std::chrono::steady_clock::now() < until) {
    auto size = co_await connection_.fill(options.piece_bytes_max, options.linger_timeout);
    if (!size || *size == 0) break;
    connection_.consume(*size);
  }
  connection_.close();
}

}  // namespace gbgreg::net

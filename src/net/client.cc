#include "net/client.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "net/body_decoder.h"
#include "net/connection.h"
#include "net/endpoint.h"
#include "net/host_name.h"
#include "net/io_thread.h"
#include "net/tls_client.h"

namespace gbgreg::net {
namespace {

constexpr std::size_t kAnswerBufferBytes = 16 * 1024;

Error deadline_passed() {
  return {.kind = Kind::timed_out,
          .code = "deadline_passed",
          .message = "The answer was not complete when the request's time was up; allow it more time or ask for less."};
}

// How long the next wait may take. Asked before each wait and each piece, so that bytes that keep coming do not carry
// an answer past its deadline. Errors: timed_out when the deadline is here.
Result<std::chrono::milliseconds> next_wait(std::chrono::milliseconds timeout, SteadyTime deadline) {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now >= deadline) return std::unexpected(deadline_passed());
  return std::min(timeout, std::chrono::ceil<std::chrono::milliseconds>(deadline - now));
}

SteadyTime after(std::chrono::milliseconds duration) { return std::chrono::steady_clock::now() + duration; }

// Why a wait failed: a deadline that passed is the request's own, silence until a timeout is the backend's fault.
Error explained(Error error, SteadyTime deadline) {
  if (error.kind != Kind::timed_out) return error;
  if (std::chrono::steady_clock::now() >= deadline) return deadline_passed();
  return {.kind = Kind::timed_out,
          .code = "backend_silent",
          .message = "The model's server said nothing for too long; try again later."};
}

Error unreachable(std::string detail) {
  return {.kind = Kind::unavailable,
          .code = "backend_unreachable",
          .message = "The model's server cannot be reached; it may be starting. Try again in a moment.",
          .detail = std::move(detail),
          .retry_after_seconds = 1};
}

class PooledAnswer final : public ClientAnswer {
 public:
  PooledAnswer(std::unique_ptr<Connection> connection, std::string address, const ClientRequest& request)
      : connection_(std::move(connection)),
        address_(std::move(address)),
        body_idle_timeout_(request.body_idle_timeout),
        first_byte_by_(request.first_byte_by),
        deadline_(request.deadline) {}

  ~PooledAnswer() override {
    // Only a connection whose answer was read to its end is fit for another request; any other is closed, which is how
    // the backend learns that nobody waits.
    if (headed_ && decoder_.done() && head_.keep_alive && connection_->unread().empty()) {
      connection_->io().idle_connections().keep(address_, std::move(connection_));
    }
  }

  // Reads heads until one that is not informational.
  Task<Result<void>> read_head(std::string_view method, std::chrono::milliseconds timeout) {
    const Options& options = connection_->io().options();
    // For the head as a whole: one that comes byte by byte gets no more time than another.
    const SteadyTime head_until = std::min(after(timeout), first_byte_by_);
    connection_->take_buffer(options.head_bytes_max);
    while (true) {
      std::size_t searched = 0;
      std::size_t end = 0;
      while ((end = find_head_end(connection_->unread(), searched)) == std::string_view::npos) {
        searched = connection_->unread().size();
        auto wait = next_wait(timeout, std::min(head_until, deadline_));
        if (!wait) co_return std::unexpected(explained(std::move(wait.error()), deadline_));
        auto size = co_await connection_->fill(options.head_bytes_max, *wait);
        if (!size && size.error().kind == Kind::too_large) {
          co_return fail(Kind::backend_failed, "backend_failed", "The model's server gave an answer that is not HTTP.",
                         "a head over " + std::to_string(options.head_bytes_max) + " bytes");
        }
        if (!size) co_return std::unexpected(explained(std::move(size.error()), deadline_));
        if (*size == 0) {
          got_bytes_ |= searched > 0;
          co_return fail(Kind::backend_failed, "backend_failed", "The model's server closed without an answer.",
                         searched == 0 ? "closed before the head" : "closed inside the head");
        }
        got_bytes_ = true;
      }
      // The head's views must outlive the buffer they were read into.
      head_bytes_.assign(connection_->unread().substr(0, end));
      connection_->consume(end);
      auto head = parse_response_head(head_bytes_, method, options);
      if (!head) co_return std::unexpected(std::move(head.error()));
      if (head->status >= 200) {
        head_ = std::move(*head);
        decoder_ = BodyDecoder(head_, options);
        headed_ = true;
        co_return Result<void>{};
      }
    }
  }

  bool got_bytes() const { return got_bytes_; }
  int status() const override { return head_.status; }
  const ResponseHead& head() const override { return head_; }

  Task<Result<std::string_view>> read_body() override {
    while (true) {
      if (auto piece = body_at_hand()) co_return std::move(*piece);
      auto wait = next_wait(body_idle_timeout_, std::min(first_byte_by_, deadline_));
      if (!wait) co_return std::unexpected(explained(std::move(wait.error()), deadline_));
      auto size = co_await connection_->fill(kAnswerBufferBytes, *wait);
      if (!size) co_return std::unexpected(explained(std::move(size.error()), deadline_));
      if (*size > 0) continue;
      if (decoder_.close_ends_body()) co_return std::string_view{};
      co_return fail(Kind::backend_failed, "backend_failed", "The model's server broke off its answer.",
                     "closed inside the body");
    }
  }

  std::optional<Result<std::string_view>> body_at_hand() override {
    connection_->consume(std::exchange(handed_out_, 0));
    while (!decoder_.done()) {
      // Bytes that keep coming do not carry an answer past its deadline.
      if (auto wait = next_wait(body_idle_timeout_, deadline_); !wait) return std::unexpected(std::move(wait.error()));
      auto step = decoder_.decode(connection_->unread());
      if (!step) {
        return fail(Kind::backend_failed, "backend_failed", "The model's server broke off its answer.",
                    step.error().message);
      }
      if (!step->data.empty()) {
        handed_out_ = step->consumed;
        first_byte_by_ = SteadyTime::max();
        return step->data;
      }
      connection_->consume(step->consumed);
      if (step->consumed == 0 && !decoder_.done()) return std::nullopt;
    }
    return std::string_view{};
  }

 private:
  std::unique_ptr<Connection> connection_;
  std::string address_;
  std::chrono::milliseconds body_idle_timeout_;
  SteadyTime first_byte_by_;  // Without an end once that byte is there.
  SteadyTime deadline_;
  std::string head_bytes_;
  ResponseHead head_;
  BodyDecoder decoder_;
  std::size_t handed_out_ = 0;
  bool got_bytes_ = false;
  bool headed_ = false;
};

// Errors: unavailable is of this endpoint only.
Task<Result<std::unique_ptr<Connection>>> open_at(IoThread& io, const Endpoint& endpoint, SteadyTime deadline) {
  Socket socket(io.executor());
  boost::system::error_code opened;
  socket.open(endpoint.protocol(), opened);
  if (opened) co_return std::unexpected(unreachable(opened.message()));
  auto connection = std::make_unique<Connection>(io, std::move(socket));
  auto wait = next_wait(io.options().connect_timeout, deadline);
  if (!wait) co_return std::unexpected(std::move(wait.error()));
  auto connected = co_await connection->connect(endpoint, *wait);
  if (!connected) {
    Error error = explained(std::move(connected.error()), deadline);
    // Whoever does not take a connection is as good as not there; the request itself has not been sent.
    const bool is_absent = error.kind == Kind::backend_failed || error.code == "backend_silent";
    co_return std::unexpected(is_absent ? unreachable(error.detail.empty() ? error.message : error.detail)
                                        : std::move(error));
  }
  set_no_delay(connection->socket());
  co_return connection;
}

// Of a server with several addresses each is tried in turn.
Task<Result<std::unique_ptr<Connection>>> open_by_name(IoThread& io, const HostName& name, SteadyTime deadline) {
  auto endpoints = co_await name.endpoints(io, deadline);
  if (!endpoints) co_return std::unexpected(std::move(endpoints.error()));
  Result<std::unique_ptr<Connection>> opened = std::unexpected(unreachable("no address"));
  for (std::size_t i = 0; i < endpoints->size(); ++i) {
    opened = co_await open_at(io, (*endpoints)[i], deadline);
    if (opened && i > 0) name.answers_at((*endpoints)[i]);
    if (opened || opened.error().kind != Kind::unavailable) break;
  }
  co_return opened;
}

Task<Result<void>> secure(Connection& connection, const TlsClient& tls, SteadyTime deadline) {
  auto wait = next_wait(connection.io().options().secure_timeout, deadline);
  if (!wait) co_return std::unexpected(std::move(wait.error()));
  connection.secure_with(tls.connect_on(connection.socket().native_handle()));
  auto secured = co_await connection.secure(*wait);
  if (secured || secured.error().kind == Kind::cancelled) co_return secured;
  if (secured.error().kind == Kind::timed_out) {
    Error error = explained(std::move(secured.error()), deadline);
    co_return std::unexpected(error.code == "backend_silent" ? unreachable("no TLS handshake in time") : error);
  }
  co_return std::unexpected(TlsClient::explain(*connection.tls()));
}

Task<Result<std::unique_ptr<Connection>>> open(IoThread& io, const Address& address, SteadyTime deadline) {
  if (address.host_name == nullptr) {
    auto endpoint = parse_endpoint(address.text);
    if (!endpoint) co_return std::unexpected(unreachable(endpoint.error().message));
    co_return co_await open_at(io, *endpoint, deadline);
  }
  auto opened = co_await open_by_name(io, *address.host_name, deadline);
  if (!opened || address.tls == nullptr) co_return opened;
  auto secured = co_await secure(**opened, *address.tls, deadline);
  if (!secured) co_return std::unexpected(std::move(secured.error()));
  co_return opened;
}

std::string write_head(const Address& address, const ClientRequest& request) {
  std::string head;
  head.reserve(256);
  head.append(request.method).append(" ").append(address.base_path).append(request.target);
  head.append(" HTTP/1.1\r\nHost: ").append(address.host).append("\r\n");
  if (!request.bearer.empty()) head.append("Authorization: Bearer ").append(request.bearer).append("\r\n");
  head.append(request.fields);
  if (request.method != "GET" && request.method != "HEAD") {
    head.append("Content-Type: application/json\r\nContent-Length: ");
    head.append(std::to_string(request.body.size())).append("\r\n");
  }
  head.append("\r\n");
  return head;
}

}  // namespace

Task<Result<std::string>> ClientAnswer::read_all(std::size_t bytes_max) {
  std::string body;
  while (true) {
    auto at_hand = body_at_hand();
    auto piece = at_hand ? std::move(*at_hand) : co_await read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return body;
    if (body.size() + piece->size() > bytes_max) {
      co_return fail(Kind::backend_failed, "backend_failed", "The model's server sent more than it may.",
                     "answer over " + std::to_string(bytes_max) + " bytes");
    }
    body.append(*piece);
  }
}

Task<Result<std::unique_ptr<ClientAnswer>>> send(IoThread& io, const Address& address, const ClientRequest& request) {
  const std::string head = write_head(address, request);
  const auto& parts = request.body.parts;
  const std::array<asio::const_buffer, 4> pieces{asio::buffer(head), asio::buffer(parts[0]), asio::buffer(parts[1]),
                                                 asio::buffer(parts[2])};
  for (bool may_be_kept = true;; may_be_kept = false) {
    auto connection = may_be_kept ? io.idle_connections().take(address.text) : nullptr;
    const bool was_kept = connection != nullptr;
    if (!was_kept) {
      auto opened = co_await open(io, address, request.deadline);
      if (!opened) co_return std::unexpected(std::move(opened.error()));
      connection = std::move(*opened);
    }
    Result<void> headed;
    if (const Unsent unsent = connection->write_now(pieces); !unsent.empty()) {
      headed = co_await connection->write(unsent.rest(), io.options().write_timeout, request.deadline);
    }
    if (!headed) headed = std::unexpected(explained(std::move(headed.error()), request.deadline));
    auto answer = std::make_unique<PooledAnswer>(std::move(connection), address.text, request);
    if (headed) headed = co_await answer->read_head(request.method, request.head_timeout);
    if (headed) co_return std::unique_ptr<ClientAnswer>(std::move(answer));
    // A kept connection may have been closed by the other side meanwhile; the request never reached it then.
    const bool stale = was_kept && !answer->got_bytes() && headed.error().kind == Kind::backend_failed;
    if (!stale) co_return std::unexpected(std::move(headed.error()));
  }
}

}  // namespace gbgreg::net

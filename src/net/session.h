// One client connection: reads requests one after another, lets the handler answer each, keeps the rules of HTTP/1.1.
//
// Lives on one I/O thread. Its task and the watch for a client that leaves share it, which is why it is held by
// shared_ptr: either may end first.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <memory>
#include <string>

#include "net/body_decoder.h"
#include "net/connection.h"
#include "net/exchange.h"

namespace gbgreg::net {

// Set by the server on its own thread when it drains: sessions end after the answer under way.
struct DrainFlag {
  bool draining = false;
};

class Session final : public Exchange, public std::enable_shared_from_this<Session> {
 public:
  Session(IoThread& io, Socket socket, std::string peer, Handler& handler, const DrainFlag& drain);

  // Before run(): the connection begins with a handshake of TLS.
  void secure_with(std::unique_ptr<TlsStream> tls) { connection_.secure_with(std::move(tls)); }

  // Serves the connection to its end.
  Task<void> run();

  // Is it waiting for a request, so that closing it loses nothing?
  bool idle() const { return idle_; }
  void close_idle() noexcept;
  void close() noexcept { connection_.close(); }
  asio::cancellation_signal& cancel_signal() { return cancel_; }

  IoThread& io() override { return connection_.io(); }
  const RequestHead& head() const override { return head_; }
  std::string_view peer() const override { return peer_; }
  Task<Result<std::string_view>> read_body() override;
  std::optional<Result<std::string_view>> body_at_hand() override;
  void want_large_pieces() override { large_pieces_ = true; }
  void cancel_when_client_leaves() override;
  void add_field(std::string_view name, std::string value) override;
  void add_late_fields(const LateFields& fields) override { late_fields_ = &fields; }
  Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body,
                             HeaderFields fields) override;
  void begin_sized(int status, std::string_view content_type, std::uint64_t length, HeaderFields fields) override;
  void begin_stream(int status, std::string_view content_type, HeaderFields fields) override;
  Task<Result<void>> write(std::string_view piece) override;
  bool write_at_once(std::string_view piece) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> finish() override;
  bool begun() const override { return begun_; }
  int status() const override { return status_; }
  std::uint64_t body_bytes_read() const override { return body_bytes_read_; }
  std::uint64_t body_bytes_written() const override { return body_bytes_written_; }

 private:
  enum class Answer : std::uint8_t { none, sized, chunked, until_close };
  enum class HeadRead : std::uint8_t { request, refused, closed };
  using Frame = std::array<char, 20>;  // The line before a chunk.

  Task<HeadRead> greet();
  Task<HeadRead> find_head();
  HeadRead take_head();
  HeadRead refuse_head(Error error);
  Unsent write_framed(std::string_view piece, Frame& frame);
  Task<Result<void>> fill_body();
  void reset_for_next_request();
  void write_head(int status, std::string_view content_type, const HeaderFields& fields);
  Task<Result<void>> send(Unsent unsent);
  void watch();
  void stop_watching();
  Task<void> linger();

  Connection connection_;
  std::string peer_;
  Handler& handler_;
  const DrainFlag& drain_;
  // For reading what we write. It lasts as long as the connection: a new one for each answer would let a client that
  // reads nothing ask for ever.
  Patience write_patience_;
  asio::cancellation_signal cancel_;

  // Of the request under way.
  std::string head_bytes_;
  RequestHead head_;
  Error head_error_;
  BodyDecoder decoder_;
  Patience body_patience_;
  bool large_pieces_ = false;
  std::size_t handed_out_ = 0;
  bool continue_owed_ = false;
  HeaderFields fields_;
  const LateFields* late_fields_ = nullptr;
  std::string out_;   // The head of the answer, until it leaves with the first bytes of the body.
  std::string rest_;  // What write_at_once() left for flush().
  Answer answer_ = Answer::none;
  std::uint64_t owed_bytes_ = 0;  // Of a sized answer.
  int status_ = 0;
  bool begun_ = false;
  bool finished_ = false;
  bool keep_alive_ = false;
  bool is_head_request_ = false;
  std::uint64_t body_bytes_read_ = 0;
  std::uint64_t body_bytes_written_ = 0;

  bool idle_ = false;
  bool watching_ = false;
  char peeked_ = 0;
  std::uint64_t watches_ended_ = 0;  // A watch that hears of its end only after the next began knows it by this.
};

}  // namespace gbgreg::net

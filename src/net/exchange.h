// One request and its answer, as the rooms above see it: a head, a body read piece by piece, an answer written whole or
// piece by piece. Sockets stay below.
//
// Lives on one I/O thread; its task and everything it awaits run there. Made and owned by the session (session.h).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/core.h"
#include "net/http_head.h"

namespace gbgreg::net {

class IoThread;

struct HeaderField {
  std::string_view name;
  std::string value;
};
using HeaderFields = std::vector<HeaderField>;

// Fields whose values are only known when the head of an answer is written.
class LateFields {
 public:
  virtual ~LateFields() = default;
  // A line "name: value\r\n" for each.
  virtual void append_to(std::string& head) const = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual IoThread& io() = 0;
  virtual const RequestHead& head() const = 0;
  // "127.0.0.1:50312", or "unix:1000" with the user's id.
  virtual std::string_view peer() const = 0;

  // The next piece of the decoded body; empty at its end. The view holds until the next call. A waiting
  // `100 Continue` is sent by the first call. Errors: malformed, request_timeout, cancelled (the client left).
  virtual Task<Result<std::string_view>> read_body() = 0;
  // The same, when there is something to be said without waiting; absent when read_body() has to be awaited.
  virtual std::optional<Result<std::string_view>> body_at_hand() { return std::nullopt; }

  // From here on the pieces of the body may be large (options.h): fewer hops for what goes to a disk, and more memory
  // for each client that is slow. An exchange may not care.
  virtual void want_large_pieces() {}

  // From here on a client that leaves cancels the task of this exchange. Call it once, when the body has been read.
  virtual void cancel_when_client_leaves() = 0;

  // Fields that every answer of this exchange carries; to be set before the answer begins.
  virtual void add_field(std::string_view name, std::string value) = 0;
  // Those are asked for when the answer begins; they outlive the exchange.
  virtual void add_late_fields(const LateFields& fields) = 0;

  // The whole answer at once. Errors: cancelled.
  virtual Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body,
                                     HeaderFields fields = {}) = 0;

  // An answer whose length is known and whose bytes follow by write(). Nothing leaves before the first of them, so that
  // until then another answer may still take its place.
  virtual void begin_sized(int status, std::string_view content_type, std::uint64_t length,
                           HeaderFields fields = {}) = 0;
  // An answer of unknown length: chunked, or ended by closing for HTTP/1.0.
  virtual void begin_stream(int status, std::string_view content_type, HeaderFields fields = {}) = 0;
  virtual Task<Result<void>> write(std::string_view piece) = 0;
  // The same without a coroutine, for the many small pieces of a stream. False when the client does not take it at
  // once: flush() must then be awaited before anything else is written.
  virtual bool write_at_once(std::string_view piece) = 0;
  virtual Task<Result<void>> flush() = 0;
  virtual Task<Result<void>> finish() = 0;

  // True once a byte of the answer may have reached the client: after that no error answer is possible.
  virtual bool begun() const = 0;
  // What the access log and the metrics say afterwards.
  virtual int status() const = 0;
  virtual std::uint64_t body_bytes_read() const = 0;
  virtual std::uint64_t body_bytes_written() const = 0;
};

// Answers requests; one object for all of them, called on every I/O thread. What it throws is logged by the session,
// and the connection is closed.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual Task<void> handle(Exchange& exchange) = 0;
  // The head could not be understood, so exchange.head() is empty. The connection closes after the answer.
  virtual Task<void> refuse(Exchange& exchange, Error error) = 0;
};

}  // namespace gbgreg::net

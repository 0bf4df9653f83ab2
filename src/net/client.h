// HTTP/1.1 towards backends: pooled connections over TCP, TLS and Unix sockets, one pool an I/O thread, so no lock.
//
// Backends are untrusted: heads, bodies and waits are bounded, and what they send wrong becomes an error here.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "net/address.h"
#include "net/http_head.h"

namespace gbgreg::net {

class IoThread;

// A body in parts that are sent one behind the other, so that nobody has to put them together. Some may be empty.
struct BodyParts {
  std::array<std::string_view, 3> parts = {};

  BodyParts() = default;
  template <std::convertible_to<std::string_view> Text>
  BodyParts(const Text& whole) : parts{whole} {}  // NOLINT(google-explicit-constructor): most are one part.
  BodyParts(std::string_view begin, std::string_view middle, std::string_view end) : parts{begin, middle, end} {}
  std::size_t size() const { return parts[0].size() + parts[1].size() + parts[2].size(); }
};

struct ClientRequest {
  std::string_view method = "POST";
  std::string_view target;
  std::string_view bearer = {};  // Sent as Authorization when not empty.
  std::string_view fields = {};  // More of them, each with its end of line: of our own making, or checked.
  BodyParts body = {};
  // Until the whole head of the answer is there, and between two pieces of its body: the error's code is then
  // "backend_silent".
  std::chrono::milliseconds head_timeout{300'000};
  std::chrono::milliseconds body_idle_timeout{60'000};
  // The first byte of the body must have come by then, or the answer is "backend_silent", too.
  SteadyTime first_byte_by = SteadyTime::max();
  // The whole answer must have been read by then, or it is timed_out with the code "deadline_passed".
  SteadyTime deadline = SteadyTime::max();
};

// The answer as it comes in. Destroying it before its end closes the connection, which is how a request is cancelled.
class ClientAnswer {
 public:
  virtual ~ClientAnswer() = default;
  virtual int status() const = 0;
  virtual const ResponseHead& head() const = 0;
  // The next piece of the body, empty at its end; the view holds until the next call.
  // Errors: backend_failed (it closed or broke the framing), timed_out.
  virtual Task<Result<std::string_view>> read_body() = 0;
  // The same, when there is something to be said without waiting; absent when read_body() has to be awaited.
  virtual std::optional<Result<std::string_view>> body_at_hand() = 0;
  // The whole body, up to `bytes_max`. Errors: as above, and backend_failed past the bound.
  Task<Result<std::string>> read_all(std::size_t bytes_max);
};

// Sends a request and waits for the head of its answer. A kept connection that turns out to be closed is replaced once,
// and only when no byte of an answer came. Errors: unavailable (nobody takes the connection, the host's name is not
// known, or who is there cannot prove to be it), backend_failed, timed_out.
Task<Result<std::unique_ptr<ClientAnswer>>> send(IoThread& io, const Address& address, const ClientRequest& request);

}  // namespace gbgreg::net

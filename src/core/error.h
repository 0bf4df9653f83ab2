// What can go wrong in a healthy program: bad input, a full queue, a dead worker, a missing row.
//
// `Kind` has one member for each case that a caller treats differently; every protocol turns a kind into its own error
// shape in one function. A plain value: copy it, move it, compare it.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace gbgreg {

enum class Kind : std::uint8_t {
  malformed,           // 400: the bytes are not what the protocol says
  unauthorized,        // 401
  forbidden,           // 403
  not_found,           // 404
  method_not_allowed,  // 405
  request_timeout,     // 408: the client was too slow with its request
  conflict,            // 409
  too_large,           // 413: the message names the limit
  target_too_long,     // 414
  unsupported_type,    // 415
  unsatisfiable,       // 416: the range asked for is behind the end
  refused,             // 422: understood, and refused for what it contains
  head_too_large,      // 431
  busy,                // 429: a queue or a quota is full; retry_after_seconds is set
  cancelled,           // 499: the client left; nobody reads the answer
  internal,            // 500: our own fault
  unsupported,         // 501: a transfer coding or method we do not speak
  backend_failed,      // 502: a worker died, or answered what cannot be understood
  unavailable,         // 503: no worker can take it now; retry_after_seconds is set
  timed_out,           // 504: a deadline of ours, or of a worker, passed
  unknown_version,     // 505: a version of HTTP that we do not speak
};

struct Error {
  Kind kind = Kind::internal;
  // Stable snake_case word for programs, e.g. "model_not_found".
  std::string code;
  // One sentence for the person who sent the request, saying what to do. Never a path, a type name or SQL.
  std::string message;
  // For the log only.
  std::string detail = {};
  // A JSON object that travels as `details`, or empty.
  std::string details_json = {};
  std::optional<int> retry_after_seconds = {};
};

template <class T>
using Result = std::expected<T, Error>;

// The HTTP status that stands for a kind.
int http_status(Kind kind);

// The kind's own word, used as code where nothing better is known.
std::string_view kind_name(Kind kind);

// Shorthand for `return fail(Kind::not_found, "upload_not_found", "No upload has this id.");`
[[nodiscard]] inline std::unexpected<Error> fail(Kind kind, std::string code, std::string message,
                                                 std::string detail = {}) {
  return std::unexpected(
      Error{.kind = kind, .code = std::move(code), .message = std::move(message), .detail = std::move(detail)});
}

}  // namespace gbgreg

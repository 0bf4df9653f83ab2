// Request and status lines and header fields of HTTP/1.1, as RFC 9112 says and not a byte more leniently.
//
// Pure: bytes in, a struct of views into those bytes out. The bytes must outlive the struct. Fuzzed (fuzz/http_head).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "net/options.h"

namespace gbgreg::net {

struct Field {
  std::string_view name;   // As sent; compare with equal_ignoring_case.
  std::string_view value;  // Without surrounding blanks.
};

// How the end of a message's body is known.
enum class Framing : std::uint8_t { none, length, chunked, until_close };

struct Head {
  std::vector<Field> fields;
  int minor_version = 1;  // HTTP/1.0 or HTTP/1.1.
  bool keep_alive = true;
  Framing framing = Framing::none;
  std::uint64_t content_length = 0;  // When framing is length.

  // The value of the first field of this name, in any case; absent when there is none.
  std::optional<std::string_view> field(std::string_view name) const;
};

struct RequestHead : Head {
  std::string_view method;
  std::string_view target;  // As sent.
  std::string_view path;    // The target's path, not decoded.
  std::string_view query;   // Behind '?', or empty.
  // Whom the client means: of the target in absolute form, else of the Host field. Lower case, without the port, an
  // IPv6 address in its brackets. Absent when neither was sent, which only HTTP/1.0 may do.
  std::optional<std::string> host;
  bool expects_continue = false;
};

struct ResponseHead : Head {
  int status = 0;
};

// Bytes that end a head, found again from `searched` on: the position behind the blank line, or npos.
std::size_t find_head_end(std::string_view bytes, std::size_t searched);

// `bytes` is exactly one head with its blank line. Errors: malformed (400), target_too_long (414), head_too_large
// (431), unsupported (501: an unknown transfer coding), unknown_version (505). A malformed head always means that the
// connection must be closed.
Result<RequestHead> parse_request_head(std::string_view bytes, const Options& options);

// `request_method` decides about bodies (HEAD has none). Errors: backend_failed.
Result<ResponseHead> parse_response_head(std::string_view bytes, std::string_view request_method,
                                         const Options& options);

// "name:80", "10.0.0.1" or "[::1]:80": the lower-cased host without its port, an IPv6 address in its brackets. Absent
// when it is none of these.
std::optional<std::string> host_of(std::string_view authority);

// Case-insensitive comparison of ASCII names.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// Percent-decodes a path segment or a query value ('+' is a blank there when `plus_is_blank`). Absent when an escape is
// broken or the result is not valid UTF-8 or has a NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank);

// The decoded value of a query parameter; absent when not there. Errors: malformed.
Result<std::optional<std::string>> query_parameter(std::string_view query, std::string_view name);

// "OK" for 200 and so on; never empty.
std::string_view reason_phrase(int status);

}  // namespace gbgreg::net

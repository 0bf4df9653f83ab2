// The Origin field of RFC 6454: which page a browser says a request comes from. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::http {

// Two ways of writing one origin are equal: "HTTPS://Box.Local.:443" and "https://box.local".
struct WebOrigin {
  std::string scheme;  // "https", in lower case.
  std::string host;    // In lower case, without the dot that may end a name and without an IPv6 address's brackets.
  int port = 0;        // The scheme's own where none is named, 0 where it has none.

  bool operator==(const WebOrigin&) const = default;
};

// Absent for "null" (a sandboxed page, a file, a redirect) and for what is no origin at all, such as a whole address.
std::optional<WebOrigin> read_origin(std::string_view text);

// A host as net::host_of gives it, in the words of WebOrigin::host.
std::string plain_host(std::string host);

// Is `authority`, a Host field, where this origin's pages come from? A Host without a port has that of the origin's
// scheme: which one the client used a proxy before us may hide.
bool is_at(const WebOrigin& origin, std::string_view authority);

}  // namespace gbgreg::http

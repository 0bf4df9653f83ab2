// Addresses as text: "127.0.0.1:3333", "[::1]:3333", "localhost:3333", "unix:/run/gbgreg.sock". Any thread.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <string>
#include <string_view>

#include "core/core.h"
#include "net/connection.h"

namespace gbgreg::net {

using Endpoint = asio::generic::stream_protocol::endpoint;

// `localhost` is 127.0.0.1; other names are not looked up. Errors: malformed, with what an address looks like.
Result<Endpoint> parse_endpoint(std::string_view text);

// "http://127.0.0.1:3333" or "unix:/run/gbgreg.sock".
std::string endpoint_text(const Endpoint& endpoint);

// Where to listen, as the configuration says it: an address as above, perhaps with http:// before it, or https:// for
// TLS, which Unix sockets do not have.
struct ListenAddress {
  Endpoint endpoint;
  bool is_secure = false;
};
Result<ListenAddress> parse_listen_address(std::string_view text);

// Of an address on which somebody listens, as a client may take it: endpoint_text, with https:// for TLS.
std::string listen_text(const ListenAddress& address);

// Is it this machine only? Unix sockets are.
bool is_loopback(const Endpoint& endpoint);

// Small writes leave at once; without it an answer's tail waits 40 ms for a delayed acknowledgement. No effect on Unix
// sockets.
void set_no_delay(Socket& socket);

}  // namespace gbgreg::net

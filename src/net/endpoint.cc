#include "net/endpoint.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <charconv>

namespace gbgreg::net {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

std::unexpected<Error> not_an_address(std::string_view text) {
  return fail(Kind::malformed, "malformed_address",
              "`" + std::string(text) + "` is not an address. Use 127.0.0.1:3333, [::1]:3333 or unix:/path/to.sock.");
}

asio::ip::tcp::endpoint to_tcp(const Endpoint& endpoint) {
  asio::ip::tcp::endpoint tcp;
  std::memcpy(tcp.data(), endpoint.data(), std::min(endpoint.size(), tcp.capacity()));
  return tcp;
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
  if (text.starts_with(kUnix)) {
    const std::string path(text.substr(kUnix.size()));
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(Kind::malformed, "malformed_address",
                  "A Unix socket's path may have 1 to " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                      " bytes; this one has " + std::to_string(path.size()) + ".");
    }
    return Endpoint(asio::local::stream_protocol::endpoint(path));
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return not_an_address(text);
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto parsed = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (parsed.ec != std::errc{} || parsed.ptr != port_text.data() + port_text.size()) return not_an_address(text);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code error;
  const auto address = asio::ip::make_address(std::string(host), error);
  if (error) return not_an_address(text);
  return Endpoint(asio::ip::tcp::endpoint(address, port));
}

std::string endpoint_text(const Endpoint& endpoint) {
  if (endpoint.protocol().family() == AF_UNIX) {
    const auto* address = reinterpret_cast<const sockaddr_un*>(endpoint.data());
    return std::string(kUnix) + static_cast<const char*>(address->sun_path);
  }
  const auto tcp = to_tcp(endpoint);
  const std::string host = tcp.address().is_v6() ? "[" + tcp.address().to_string() + "]" : tcp.address().to_string();
  return std::string(kHttp) + host + ":" + std::to_string(tcp.port());
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const bool is_secure = text.starts_with(kHttps);
  std::string_view rest = text;
  if (is_secure) rest.remove_prefix(kHttps.size());
  if (text.starts_with(kHttp)) rest.remove_prefix(kHttp.size());
  if (rest.size() != text.size() && (rest.starts_with(kUnix) || rest.contains('/'))) {
    return fail(Kind::malformed, "malformed_address",
                "`" + std::string(text) +
                    "` is not an address to listen on. Behind http:// and https:// stands only an "
                    "address and its port, like https://0.0.0.0:3333.");
  }
  auto endpoint = parse_endpoint(rest);
  if (!endpoint) return std::unexpected(std::move(endpoint.error()));
  return ListenAddress{.endpoint = *endpoint, .is_secure = is_secure};
}

std::string listen_text(const ListenAddress& address) {
  std::string text = endpoint_text(address.endpoint);
  if (address.is_secure) text.replace(0, kHttp.size(), kHttps);
  return text;
}

bool is_loopback(const Endpoint& endpoint) {
  return endpoint.protocol().family() == AF_UNIX || to_tcp(endpoint).address().is_loopback();
}

void set_no_delay(Socket& socket) {
  boost::system::error_code ignored;
  if (socket.local_endpoint(ignored).protocol().family() == AF_UNIX) return;
  const int on = 1;
  setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace gbgreg::net

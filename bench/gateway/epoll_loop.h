// The least that the benchmark's own programs need of a network: listening, connecting and an epoll loop on one thread.
//
// Not for the gateway: no deadlines, no bounds, and every error ends the program.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace gbgreg::bench {

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

// "unix:/path" or "port" on 127.0.0.1.
struct SocketAddress {
  explicit SocketAddress(std::string_view text) {
    constexpr std::string_view kUnix = "unix:";
    if (text.starts_with(kUnix)) {
      const std::string path(text.substr(kUnix.size()));
      auto& address = reinterpret_cast<sockaddr_un&>(storage);
      address.sun_family = AF_UNIX;
      if (path.size() >= sizeof address.sun_path) die("the path of the socket is too long");
      std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
      size = sizeof address;
    } else {
      auto& address = reinterpret_cast<sockaddr_in&>(storage);
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<std::uint16_t>(std::strtoul(std::string(text).c_str(), nullptr, 10)));
      size = sizeof address;
    }
  }
  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  sockaddr_storage storage = {};
  socklen_t size = 0;
};

inline void send_at_once(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Fails on a Unix socket, which has no delay.
}

inline int listen_on(std::string_view text) {
  const SocketAddress address(text);
  if (address.family() == AF_UNIX) ::unlink(reinterpret_cast<const sockaddr_un&>(address.storage).sun_path);
  const int listener = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) die("socket");
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, address.get(), address.size) != 0) die("bind " + std::string(text));
  if (::listen(listener, 4096) != 0) die("listen");
  return listener;
}

// Blocks until connected, then does not block any more.
inline int connect_to(const SocketAddress& address) {
  const int socket = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) die("socket");
  if (::connect(socket, address.get(), address.size) != 0) die("connect");
  send_at_once(socket);
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  return socket;
}

class Poller {
 public:
  Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}
  void add(int file, std::uint32_t events, void* owner) { control(EPOLL_CTL_ADD, file, events, owner); }
  void change(int file, std::uint32_t events, void* owner) { control(EPOLL_CTL_MOD, file, events, owner); }

  // Calls take(owner, events) for whatever is ready within so many milliseconds; -1 waits for ever.
  template <class Take>
  void wait(int milliseconds, Take take) {
    std::array<epoll_event, 256> ready;
    const int count = ::epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), milliseconds);
    for (int i = 0; i < count; ++i) {
      take(ready[static_cast<std::size_t>(i)].data.ptr, ready[static_cast<std::size_t>(i)].events);
    }
  }

 private:
  void control(int operation, int file, std::uint32_t events, void* owner) {
    epoll_event event{.events = events, .data = {.ptr = owner}};
    if (::epoll_ctl(epoll_, operation, file, &event) != 0) die("epoll_ctl");
  }

  int epoll_;
};

// What HTTP says about one message, as far as these programs need it: they speak to well-behaved peers only.
struct MessageHead {
  std::size_t bytes = 0;  // With the empty line; 0 when it is not all there.
  std::size_t content_length = 0;
  bool is_chunked = false;
};

inline MessageHead read_head(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return {};
  MessageHead head{.bytes = end + 4};
  for (std::size_t at = 0; at < end;) {
    const std::size_t next = std::min(text.find("\r\n", at), end);
    const std::string_view line = text.substr(at, next - at);
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = line.substr(std::min(line.size(), colon + 2));
    const auto is = [&](std::string_view wanted) {
      return std::ranges::equal(name, wanted, {}, [](unsigned char c) { return std::tolower(c); });
    };
    if (is("content-length")) std::from_chars(value.data(), value.data() + value.size(), head.content_length);
    if (is("transfer-encoding")) head.is_chunked = value.contains("chunked");
    at = next + 2;
  }
  return head;
}

}  // namespace gbgreg::bench

#include "fleet/worker_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace gbgreg::fleet {
namespace {

// On the loopback address a refusal comes at once; only a listener whose queue is full says nothing.
constexpr std::chrono::milliseconds kPortPatience{100};

// Of a connection that has begun.
bool is_refused(int socket) {
  pollfd events{.fd = socket, .events = POLLOUT, .revents = 0};
  if (::poll(&events, 1, static_cast<int>(kPortPatience.count())) <= 0) return false;
  int failure = 0;
  socklen_t size = sizeof failure;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size);
  return failure != 0;
}

}  // namespace

// By connecting. Binding would say that ports are taken which nobody has any more: those of connections that a worker
// closed a minute ago.
bool is_port_taken(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;  // The engine will say what it thinks of that.
  const bool connected = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const bool is_taken = connected || (errno == EINPROGRESS && !is_refused(probe));
  ::close(probe);
  return is_taken;
}

}  // namespace gbgreg::fleet

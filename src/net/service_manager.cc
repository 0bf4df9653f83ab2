#include "net/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "net/grammar.h"

namespace gbgreg::net {
namespace {

constexpr int kFirstInherited = 3;

std::optional<std::string> take_variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread starts.
  if (value == nullptr) return std::nullopt;
  std::string taken = value;
  unsetenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread starts.
  return taken;
}

std::unexpected<Error> makes_no_sense(std::string message) {
  return fail(Kind::malformed, "bad_activation", std::move(message));
}

int socket_option(int descriptor, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

bool is_listening(int descriptor) {
  const int family = socket_option(descriptor, SO_DOMAIN);
  return (family == AF_INET || family == AF_INET6 || family == AF_UNIX) &&
         socket_option(descriptor, SO_TYPE) == SOCK_STREAM && socket_option(descriptor, SO_ACCEPTCONN) == 1;
}

}  // namespace

ServiceManager::ServiceManager()
    : listen_pid_(take_variable("LISTEN_PID")),
      listen_fds_(take_variable("LISTEN_FDS")),
      listen_names_(take_variable("LISTEN_FDNAMES")),
      notify_socket_(take_variable("NOTIFY_SOCKET")) {}

Result<std::vector<InheritedSocket>> ServiceManager::take_sockets() {
  auto names = inherited_names(std::exchange(listen_pid_, std::nullopt), listen_fds_, listen_names_, getpid());
  if (!names) return std::unexpected(std::move(names.error()));
  std::vector<InheritedSocket> sockets;
  for (std::size_t i = 0; i < names->size(); ++i) {
    const int descriptor = kFirstInherited + static_cast<int>(i);
    if (!is_listening(descriptor)) {
      return makes_no_sense("The file descriptor " + std::to_string(descriptor) +
                            " that the service manager handed over is no stream socket that listens. In a socket unit, "
                            "use ListenStream= with Accept=no.");
    }
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    sockets.push_back({.listening = Descriptor(descriptor), .name = std::move((*names)[i])});
  }
  return sockets;
}

void ServiceManager::notify(std::string_view state) const noexcept {
  sockaddr_un address{};
  if (!notify_socket_ || notify_socket_->size() < 2 || notify_socket_->size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::ranges::copy(*notify_socket_, static_cast<char*>(address.sun_path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // One of Linux's names that are no files.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + notify_socket_->size());
  const Descriptor sending(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (sending.get() < 0) return;
  (void)sendto(sending.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address), size);
}

Result<std::vector<std::string>> inherited_names(const std::optional<std::string>& listen_pid,
                                                 const std::optional<std::string>& listen_fds,
                                                 const std::optional<std::string>& listen_names, int own_pid) {
  std::vector<std::string> names;
  // Whoever was meant handed its environment on to us, as a shell does.
  if (!listen_pid || !listen_fds || listen_pid != std::to_string(own_pid)) return names;
  const auto count = parse_decimal(*listen_fds);
  if (!count || *count > kInheritedSocketsMax) {
    return makes_no_sense("LISTEN_FDS is `" + *listen_fds + "`; it must be a number up to " +
                          std::to_string(kInheritedSocketsMax) + ".");
  }
  std::string_view rest = listen_names ? std::string_view(*listen_names) : std::string_view();
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::string_view name = rest.substr(0, rest.find(':'));
    names.emplace_back(name);
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
  }
  return names;
}

}  // namespace gbgreg::net

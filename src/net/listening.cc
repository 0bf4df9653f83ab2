#include "net/listening.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/error.hpp>
#include <cerrno>
#include <utility>

namespace gbgreg::net {
namespace {

constexpr int kBacklog = 1024;
constexpr mode_t kSocketFileMode = 0660;  // Who may write to it may connect.

const char* path_of(const Endpoint& unix_address) {
  return static_cast<const char*>(reinterpret_cast<const sockaddr_un*>(unix_address.data())->sun_path);
}

bool is_unix(const Endpoint& address) { return address.protocol().family() == AF_UNIX; }

bool set_flag(int descriptor, int level, int option) {
  const int on = 1;
  return setsockopt(descriptor, level, option, &on, sizeof on) == 0;
}

// The steps of open_listener; false when one of them fails, and errno says why.
bool set_up(int descriptor, const Endpoint& address, PortSharing sharing) {
  if (!is_unix(address)) {
    if (!set_flag(descriptor, SOL_SOCKET, SO_REUSEADDR)) return false;
    if (sharing == PortSharing::among_threads && !set_flag(descriptor, SOL_SOCKET, SO_REUSEPORT)) return false;
  }
  // `[::]` is IPv6 only, so that `0.0.0.0` beside it is no conflict, whatever the system's own choice.
  if (address.protocol().family() == AF_INET6 && !set_flag(descriptor, IPPROTO_IPV6, IPV6_V6ONLY)) return false;
  if (bind(descriptor, address.data(), static_cast<socklen_t>(address.size())) != 0) return false;
  // Nobody gets in before it listens.
  if (is_unix(address) && chmod(path_of(address), kSocketFileMode) != 0) return false;
  return ::listen(descriptor, kBacklog) == 0;
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this == &other) return *this;
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = other.release();
  return *this;
}

Descriptor::~Descriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

int Descriptor::release() { return std::exchange(descriptor_, -1); }

std::optional<Descriptor> Descriptor::copy() const {
  const int copied = fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (copied < 0) return std::nullopt;
  return Descriptor(copied);
}

Result<Descriptor> open_listener(const Endpoint& address, PortSharing sharing) {
  Descriptor listening(socket(address.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listening.get() < 0 || !set_up(listening.get(), address, sharing)) return cannot_listen(address, last_error());
  return listening;
}

Endpoint local_endpoint(int descriptor) {
  Endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (getsockname(descriptor, endpoint.data(), &size) == 0) endpoint.resize(size);
  return endpoint;
}

Result<void> clear_stale_socket(const Endpoint& address) {
  const Descriptor knocking(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (knocking.get() < 0) return cannot_listen(address, last_error());
  const bool is_open = connect(knocking.get(), address.data(), static_cast<socklen_t>(address.size())) == 0;
  const int refusal = is_open ? 0 : errno;
  // A listener whose queue is full lets nobody in at this moment, and lives.
  if (is_open || refusal == EAGAIN) return cannot_listen(address, asio::error::address_in_use);
  struct stat found{};
  const bool is_stale =
      refusal == ECONNREFUSED && lstat(path_of(address), &found) == 0 && S_ISSOCK(found.st_mode);  // Not a mere file.
  if (is_stale) unlink(path_of(address));
  return {};
}

std::optional<SocketFile> SocketFile::of(const Endpoint& address) {
  struct stat made{};
  if (lstat(path_of(address), &made) != 0) return std::nullopt;
  return SocketFile{.path = path_of(address), .device = made.st_dev, .inode = made.st_ino};
}

void SocketFile::remove() const {
  struct stat found{};
  const bool is_ours = lstat(path.c_str(), &found) == 0 && found.st_dev == device && found.st_ino == inode;
  if (is_ours) unlink(path.c_str());
}

std::unexpected<Error> cannot_listen(const Endpoint& address, const boost::system::error_code& error) {
  const std::string text = endpoint_text(address);
  if (error == asio::error::address_in_use) {
    return fail(Kind::conflict, "address_in_use",
                text + " is taken by another program. Stop it, or choose another address with --listen.");
  }
  return fail(Kind::unavailable, "cannot_listen", "Cannot listen on " + text + ": " + error.message() + ".");
}

boost::system::error_code last_error() { return {errno, boost::system::system_category()}; }

}  // namespace gbgreg::net

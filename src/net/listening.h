// Sockets that listen, before anybody accepts on them. From the owner's thread, before the I/O threads run.
#pragma once

#include <sys/types.h>

#include <boost/system/error_code.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "core/core.h"
#include "net/endpoint.h"

namespace gbgreg::net {

// A file descriptor and its owner. Children do not inherit copies.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const { return descriptor_; }
  int release();
  // Another descriptor of the same socket; absent when the system gives none, and errno says why.
  std::optional<Descriptor> copy() const;

 private:
  int descriptor_ = -1;
};

enum class PortSharing : std::uint8_t { none, among_threads };

// Binds and listens. A Unix socket's file is for the owner and the group. Errors: as cannot_listen has them.
Result<Descriptor> open_listener(const Endpoint& address, PortSharing sharing);

// Where a socket listens.
Endpoint local_endpoint(int descriptor);

// Makes way for a Unix socket: takes away the file of a gateway that is gone, and leaves every other file where it is.
// Who it belongs to is found out by knocking. Errors: conflict (somebody answers), unavailable.
Result<void> clear_stale_socket(const Endpoint& address);

// The file of a Unix socket that we listen on. Which one it is tells whether the file there is still ours.
struct SocketFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;

  // Absent when there is no such file.
  static std::optional<SocketFile> of(const Endpoint& address);
  void remove() const;
};

// Conflict when the address is taken, unavailable otherwise.
std::unexpected<Error> cannot_listen(const Endpoint& address, const boost::system::error_code& error);
boost::system::error_code last_error();

}  // namespace gbgreg::net

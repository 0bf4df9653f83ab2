// What systemd, or a service manager that speaks as it does, hands over at the start and wants to hear later: sockets
// that listen already (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), and where to say how it goes (NOTIFY_SOCKET).
//
// Owned by whoever owns the process. Nothing of it is left in the environment, so children neither see the variables
// nor get the sockets.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "net/listening.h"

namespace gbgreg::net {

inline constexpr std::size_t kInheritedSocketsMax = 64;

struct InheritedSocket {
  Descriptor listening;
  std::string name;  // FileDescriptorName= of its unit; empty when it has none.
};

class ServiceManager {
 public:
  // Takes what the environment of this process says. Before any thread starts.
  ServiceManager();

  // The sockets handed over, once. Errors: malformed (the variables make no sense, or something is no stream socket
  // that listens).
  Result<std::vector<InheritedSocket>> take_sockets();

  // Says it, if somebody wants to hear it: "READY=1", "STOPPING=1". Nothing depends on whether it arrives.
  void notify(std::string_view state) const noexcept;

 private:
  std::optional<std::string> listen_pid_, listen_fds_, listen_names_, notify_socket_;
};

// The names of the sockets that the variables announce, one each, in order; none when they are for another process.
// Errors: malformed.
Result<std::vector<std::string>> inherited_names(const std::optional<std::string>& listen_pid,
                                                 const std::optional<std::string>& listen_fds,
                                                 const std::optional<std::string>& listen_names, int own_pid);

}  // namespace gbgreg::net

// Listens, and runs one I/O thread per core, each with its own acceptor (SO_REUSEPORT), event loop and sessions.
//
// Construct, listen, start, stop: all from the owner's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/core.h"
#include "net/endpoint.h"
#include "net/exchange.h"
#include "net/options.h"

namespace gbgreg::net {

struct ServerFigures {
  int connections = 0;
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;  // Over connections_max.
};

class Server {
 public:
  // `options` and `handler` must outlive the server.
  Server(const Options& options, Handler& handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds an address on every I/O thread; port 0 takes a free one. Before start(). Returns the address bound.
  // A Unix socket's file that nobody listens behind any more is replaced; our own goes at stop().
  // Errors: conflict (somebody listens there), unavailable (any other refusal of the system).
  Result<Endpoint> listen(const Endpoint& address);

  void start();

  // Accepts no more, lets answers under way finish for options.drain_timeout, closes what is left, joins the threads.
  void stop();

  ServerFigures figures() const;

 private:
  class Lane;
  class Places;
  struct SocketFile;
  Result<Endpoint> listen_unix(const Endpoint& address);

  std::unique_ptr<Places> places_;  // Shared by the lanes, so it goes after them.
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<SocketFile> socket_files_;
};

}  // namespace gbgreg::net

// Listens, and runs one I/O thread per core, each with its own acceptor (SO_REUSEPORT), event loop and sessions.
//
// Construct, listen, start, stop: all from the owner's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/core.h"
#include "net/certificates.h"
#include "net/endpoint.h"
#include "net/exchange.h"
#include "net/listening.h"
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
  // With certificates, which must outlive the server, connections are TLS.
  // Errors: conflict (somebody listens there), unavailable (any other refusal of the system).
  Result<Endpoint> listen(const Endpoint& address, const Certificates* certificates = nullptr);
  // The same on a socket that listens already, which somebody else made; all I/O threads accept on it. Its file, if it
  // is a Unix socket, is not ours to remove.
  Result<Endpoint> adopt(Descriptor listening, const Certificates* certificates = nullptr);

  void start();

  // Accepts no more, lets answers under way finish for options.drain_timeout, closes what is left, joins the threads.
  void stop();

  ServerFigures figures() const;

 private:
  class Lane;
  class Places;
  Result<Endpoint> listen_unix(const Endpoint& address, const Certificates* certificates);

  std::unique_ptr<Places> places_;  // Shared by the lanes, so it goes after them.
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<SocketFile> socket_files_;
};

}  // namespace gbgreg::net

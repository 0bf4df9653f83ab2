// Where the gateway listens: the sockets that a service manager hands over, or else the addresses of the configuration.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/core.h"
#include "net/server.h"
#include "net/service_manager.h"

namespace gbgreg::app {

// The name by which a socket unit says that its connections are TLS: FileDescriptorName=https.
inline constexpr std::string_view kSecureSocketName = "https";

// Whether a gateway that is started with it would get so far as to listen. Errors: malformed, forbidden, as below.
Result<void> check_addresses(const config::Config& config);

// Makes the server listen, and returns the addresses as clients take them. `certificates` is null when none are
// configured, and must outlive the server. Errors: forbidden (others could reach it, and --insecure was not said),
// malformed (TLS without certificates, or certificates that nothing uses), and those of Server::listen.
Result<std::vector<std::string>> listen_everywhere(net::Server& server, const config::Config& config,
                                                   std::vector<net::InheritedSocket> inherited,
                                                   const net::Certificates* certificates);

// Looks for a changed certificate again and again, on the thread of `context`.
class CertificateWatch {
 public:
  static constexpr std::chrono::seconds kPause{5};

  // `certificates` must outlive this; null when there are none to watch.
  CertificateWatch(IoContext& context, net::Certificates* certificates);

 private:
  void wait();

  asio::steady_timer timer_;
  net::Certificates* certificates_;
};

}  // namespace gbgreg::app

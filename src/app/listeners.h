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

// Whether there is a key that counts, so that strangers can be told from others.
enum class Lock : std::uint8_t { has_key, has_none };

// Whether a gateway that is started with it would get so far as to listen. Errors: malformed, forbidden, as below.
Result<void> check_addresses(const config::Config& config, Lock lock);

struct Listened {
  std::vector<std::string> addresses;  // As clients take them.
  bool can_others_reach_it = false;    // Other machines, on one of them at least.
};

// Makes the server listen. `certificates` is null when none are configured, and must outlive the server. Errors:
// forbidden (others could reach it, whoever comes would be let in, and --insecure was not said), malformed (TLS without
// certificates, or certificates that nothing uses), and those of Server::listen.
Result<Listened> listen_everywhere(net::Server& server, const config::Config& config, Lock lock,
                                   std::vector<net::InheritedSocket> inherited, const net::Certificates* certificates);

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

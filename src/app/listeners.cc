#include "app/listeners.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace gbgreg::app {
namespace {

Error open_to_others(const std::string& address, const config::Config& config) {
  const bool are_wanted = config.keys.required != keys::Required::never;
  return {.kind = Kind::forbidden,
          .code = "open_to_others",
          .message = "Other machines could reach " + address +
                     ", and whoever reaches it could ask, upload and delete, because " +
                     (are_wanted ? "there is no key yet. Make one with `gbgreg keys create NAME --admin`"
                                 : "`auth.required` is never. Take that away and make a key with `gbgreg keys create "
                                   "NAME --admin`") +
                     "; or listen on 127.0.0.1, [::1] or unix:/path.sock; or say --insecure (GBGREG_INSECURE=1) if "
                     "that is what you want."};
}

bool may_listen_to_others(const config::Config& config, Lock lock) {
  return config.insecure || (lock == Lock::has_key && config.keys.required != keys::Required::never);
}

// An address to listen on, or one on which a socket listens already.
struct Listening {
  net::ListenAddress address;
  std::optional<net::Descriptor> inherited = {};
};

Result<std::vector<Listening>> where_to_listen(const config::Config& config,
                                               std::vector<net::InheritedSocket> inherited) {
  std::vector<Listening> places;
  for (net::InheritedSocket& socket : inherited) {
    const net::ListenAddress address{.endpoint = net::local_endpoint(socket.listening.get()),
                                     .is_secure = socket.name == kSecureSocketName};
    places.push_back({.address = address, .inherited = std::move(socket.listening)});
  }
  if (!places.empty()) return places;
  for (const std::string& text : config.listen) {
    auto address = net::parse_listen_address(text);
    if (!address) return std::unexpected(std::move(address.error()));
    places.push_back({.address = *address});
  }
  return places;
}

}  // namespace

Result<void> check_addresses(const config::Config& config, Lock lock) {
  for (const std::string& text : config.listen) {
    const auto address = net::parse_listen_address(text);
    if (!address) return std::unexpected(address.error());
    if (!net::is_loopback(address->endpoint) && !may_listen_to_others(config, lock)) {
      return std::unexpected(open_to_others(text, config));
    }
  }
  return {};
}

Result<Listened> listen_everywhere(net::Server& server, const config::Config& config, Lock lock,
                                   std::vector<net::InheritedSocket> inherited, const net::Certificates* certificates) {
  auto places = where_to_listen(config, std::move(inherited));
  if (!places) return std::unexpected(std::move(places.error()));
  Listened listened;
  bool is_tls_used = false;
  for (Listening& place : *places) {
    const bool is_secure = place.address.is_secure;
    const std::string text = net::listen_text(place.address);
    is_tls_used |= is_secure;
    if (is_secure && certificates == nullptr) {
      return fail(Kind::malformed, "no_certificate",
                  text + " needs a certificate and a key (--tls-certificate and --tls-key).");
    }
    if (!net::is_loopback(place.address.endpoint)) {
      if (!may_listen_to_others(config, lock)) return std::unexpected(open_to_others(text, config));
      listened.can_others_reach_it = true;
      if (lock == Lock::has_key && !is_secure) {
        spdlog::warn("whoever can read what goes over the wire to {} can read the keys: listen on https://… (`tls`)",
                     text);
      }
    }
    const net::Certificates* used = is_secure ? certificates : nullptr;
    auto bound =
        place.inherited ? server.adopt(std::move(*place.inherited), used) : server.listen(place.address.endpoint, used);
    if (!bound) return std::unexpected(std::move(bound.error()));
    listened.addresses.push_back(net::listen_text({.endpoint = *bound, .is_secure = is_secure}));
  }
  if (certificates != nullptr && !is_tls_used) {
    return fail(Kind::malformed, "certificate_not_used",
                "`tls` is configured, but nothing listens with it. Write an address as https://, like "
                "https://127.0.0.1:3333, or take `tls` away.");
  }
  return listened;
}

CertificateWatch::CertificateWatch(IoContext& context, net::Certificates* certificates)
    : timer_(context), certificates_(certificates) {
  if (certificates_ != nullptr) wait();
}

void CertificateWatch::wait() {
  timer_.expires_after(kPause);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    certificates_->look_for_changes();
    wait();
  });
}

}  // namespace gbgreg::app

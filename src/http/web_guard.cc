#include "http/web_guard.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>

namespace gbgreg::http {
namespace {

constexpr std::array<std::string_view, 5> kOwnDomains{".localhost", ".local", ".internal", ".lan", ".home.arpa"};

bool is_loopback_host(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  boost::system::error_code failure;
  const auto address = asio::ip::make_address(host, failure);
  return !failure && address.is_loopback();
}

// Whom the client means, with the port: the target's in absolute form, else the Host field's.
std::string_view authority_of(const net::RequestHead& head) {
  const std::size_t scheme_end = head.target.starts_with('/') ? std::string_view::npos : head.target.find("://");
  if (scheme_end == std::string_view::npos) return head.field("host").value_or("");
  const std::string_view rest = head.target.substr(scheme_end + 3);
  return rest.substr(0, rest.find_first_of("/?"));
}

std::unexpected<Error> origin_not_allowed() {
  return fail(Kind::forbidden, "origin_not_allowed",
              "A web page of another site may not use this gateway. If it is yours, add its origin to `origins` in the "
              "configuration.");
}

}  // namespace

WebGuard::WebGuard(const Options& options) : any_origin_(options.any_origin) {
  for (const std::string& host : options.hosts) hosts_.push_back(plain_host(host));
  for (const std::string& text : options.origins) {
    if (auto origin = read_origin(text)) origins_.push_back(std::move(*origin));
  }
}

Result<std::optional<std::string_view>> WebGuard::check(const net::RequestHead& head) const {
  if (!is_host_allowed(plain_host(head.host.value_or("")))) {
    return fail(
        Kind::forbidden, "host_not_allowed",
        "This gateway is not known under the name in the Host field. Use its address, or add the name to `hosts` "
        "in the configuration.");
  }
  if (const auto origin = head.field("origin")) {
    if (is_origin_allowed(*origin, head)) return origin;
    return origin_not_allowed();
  }
  // Pictures, scripts and forms of other sites come without an Origin; following a link is no attack.
  const bool is_other_site = head.field("sec-fetch-site") == "cross-site";
  const bool follows_link =
      head.field("sec-fetch-mode") == "navigate" && (head.method == "GET" || head.method == "HEAD");
  if (is_other_site && !follows_link) return origin_not_allowed();
  return std::nullopt;
}

bool WebGuard::is_host_allowed(const std::string& host) const {
  if (!host.contains('.') || std::ranges::find(hosts_, host) != hosts_.end()) return true;
  if (std::ranges::any_of(kOwnDomains, [&](std::string_view domain) { return host.ends_with(domain); })) return true;
  boost::system::error_code failure;
  asio::ip::make_address(host, failure);
  return !failure;
}

bool WebGuard::is_origin_allowed(std::string_view text, const net::RequestHead& head) const {
  const auto origin = read_origin(text);
  if (any_origin_) return origin || text == "null";
  if (!origin) return false;
  return is_at(*origin, authority_of(head)) || is_loopback_host(origin->host) ||
         std::ranges::find(origins_, *origin) != origins_.end() ||
         std::ranges::find(hosts_, origin->host) != hosts_.end();
}

}  // namespace gbgreg::http

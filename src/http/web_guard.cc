#include "http/web_guard.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <string_view>

namespace gbgreg::http {
namespace {

constexpr std::array<std::string_view, 5> kOwnDomains{".localhost", ".local", ".internal", ".lan", ".home.arpa"};

// A host of net::host_of as the configuration writes it: "[::1]" gives "::1", "box.local." gives "box.local".
std::string plain_name(std::string host) {
  if (host.starts_with('[')) return host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.pop_back();
  return host;
}

bool is_loopback_host(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  boost::system::error_code failure;
  const auto address = asio::ip::make_address(host, failure);
  return !failure && address.is_loopback();
}

bool is_host_allowed(const std::string& host, const std::vector<std::string>& hosts) {
  if (!host.contains('.') || std::ranges::find(hosts, host) != hosts.end()) return true;
  if (std::ranges::any_of(kOwnDomains, [&](std::string_view domain) { return host.ends_with(domain); })) return true;
  boost::system::error_code failure;
  asio::ip::make_address(host, failure);
  return !failure;
}

bool is_origin_allowed(std::string_view origin, std::string_view authority, const std::vector<std::string>& hosts) {
  const std::size_t scheme_end = origin.find("://");
  if (scheme_end == std::string_view::npos) return false;  // "null": a sandboxed page, a file, a redirect.
  const std::string_view origin_authority = origin.substr(scheme_end + 3);
  if (net::equal_ignoring_case(origin_authority, authority)) return true;
  auto named = net::host_of(origin_authority);
  if (!named) return false;
  const std::string host = plain_name(std::move(*named));
  return is_loopback_host(host) || std::ranges::find(hosts, host) != hosts.end();
}

std::unexpected<Error> origin_not_allowed() {
  return fail(Kind::forbidden, "origin_not_allowed",
              "A web page of another site may not use this gateway. If it is yours, add its host to `hosts` in the "
              "configuration.");
}

}  // namespace

Result<void> check_web_caller(const net::RequestHead& head, const std::vector<std::string>& hosts) {
  if (!is_host_allowed(plain_name(head.host.value_or("")), hosts)) {
    return fail(
        Kind::forbidden, "host_not_allowed",
        "This gateway is not known under the name in the Host field. Use its address, or add the name to `hosts` "
        "in the configuration.");
  }
  if (const auto origin = head.field("origin")) {
    if (is_origin_allowed(*origin, head.field("host").value_or(""), hosts)) return {};
    return origin_not_allowed();
  }
  // Pictures, scripts and forms of other sites come without an Origin; following a link is no attack.
  const bool is_other_site = head.field("sec-fetch-site") == "cross-site";
  const bool follows_link =
      head.field("sec-fetch-mode") == "navigate" && (head.method == "GET" || head.method == "HEAD");
  if (is_other_site && !follows_link) return origin_not_allowed();
  return {};
}

}  // namespace gbgreg::http

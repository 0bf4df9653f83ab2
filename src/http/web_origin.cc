#include "http/web_origin.h"

#include <algorithm>
#include <charconv>

#include "net/http_head.h"

namespace gbgreg::http {
namespace {

int port_of_scheme(std::string_view scheme) {
  if (scheme == "http") return 80;
  return scheme == "https" ? 443 : 0;
}

bool is_scheme(std::string_view text) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_rest = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  };
  return !text.empty() && is_letter(text.front()) && std::ranges::all_of(text, is_rest);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

// Of an authority that net::host_of has taken; `absent` where it names none.
int port_of(std::string_view authority, int absent) {
  const std::size_t behind_host = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  if (behind_host == std::string_view::npos) return absent;
  int port = absent;
  std::from_chars(authority.data() + behind_host + 1, authority.data() + authority.size(), port);
  return port;
}

}  // namespace

std::string plain_host(std::string host) {
  if (host.starts_with('[')) return host.substr(1, host.size() - 2);
  if (host.ends_with('.')) host.pop_back();
  return host;
}

std::optional<WebOrigin> read_origin(std::string_view text) {
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return std::nullopt;
  WebOrigin origin;
  origin.scheme = lower_case(text.substr(0, scheme_end));
  const std::string_view authority = text.substr(scheme_end + 3);
  auto host = net::host_of(authority);
  if (!is_scheme(origin.scheme) || !host || host->empty()) return std::nullopt;
  origin.host = plain_host(std::move(*host));
  origin.port = port_of(authority, port_of_scheme(origin.scheme));
  return origin;
}

bool is_at(const WebOrigin& origin, std::string_view authority) {
  auto host = net::host_of(authority);
  return host && plain_host(std::move(*host)) == origin.host &&
         port_of(authority, port_of_scheme(origin.scheme)) == origin.port;
}

}  // namespace gbgreg::http

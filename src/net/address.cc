#include "net/address.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cctype>
#include <charconv>

#include "net/host_name.h"
#include "net/tls_client.h"

namespace gbgreg::net {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";
constexpr std::size_t kHostBytesMax = 253;
constexpr std::size_t kPathBytesMax = 1024;

std::unexpected<Error> not_a_url(const std::string& why) {
  return fail(Kind::malformed, "malformed_url",
              why + " A url looks like http://192.168.1.7:11434 or https://den.example.");
}

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_host(std::string_view host) {
  const auto is_fit = [](char c) { return is_letter_or_digit(c) || c == '-' || c == '.' || c == '_'; };
  return !host.empty() && host.size() <= kHostBytesMax && std::ranges::all_of(host, is_fit);
}

bool is_path(std::string_view path) {
  const auto is_fit = [](char c) { return is_letter_or_digit(c) || std::string_view("/-._~%").contains(c); };
  return path.size() <= kPathBytesMax && std::ranges::all_of(path, is_fit);
}

// Without the slashes and the /v1 at its end.
std::string_view base_of(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.ends_with("/v1")) path.remove_suffix(3);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

}  // namespace

Result<ServerUrl> parse_server_url(std::string_view url) {
  ServerUrl out;
  out.is_secure = url.starts_with(kHttps);
  if (!out.is_secure && !url.starts_with(kHttp)) return not_a_url("It begins with neither http:// nor https://.");
  url.remove_prefix(out.is_secure ? kHttps.size() : kHttp.size());
  if (url.contains('@')) return not_a_url("It must hold no name and no key: `key_env` or `key_file` is for that.");
  const std::size_t slash = std::min(url.find('/'), url.size());
  const std::string_view path = url.substr(slash);
  std::string_view authority = url.substr(0, slash);
  if (!is_path(path)) return not_a_url("Its path has characters that it must not have, such as ? or #.");
  out.base_path = base_of(path);

  std::string_view port;
  boost::system::error_code is_no_address;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return not_a_url("Its brackets do not end.");
    out.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    (void)asio::ip::make_address_v6(out.host, is_no_address);
    if (is_no_address) return not_a_url("What stands in brackets is no IPv6 address.");
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    out.host = authority.substr(0, colon);
    port = authority.substr(colon);
    if (!is_host(out.host)) return not_a_url("It has no host that can be one.");
    std::ranges::transform(out.host, out.host.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  out.authority = authority.starts_with('[') ? "[" + out.host + "]" : out.host;
  out.port = out.is_secure ? 443 : 80;
  if (port.empty()) return out;
  const auto read = std::from_chars(port.data() + 1, port.data() + port.size(), out.port);
  if (port.front() != ':' || port.size() == 1 || read.ec != std::errc{} || read.ptr != port.data() + port.size() ||
      out.port == 0) {
    return not_a_url("Its port is not a number from 1 to 65535.");
  }
  out.authority += ":" + std::to_string(out.port);
  return out;
}

Result<Address> server_address(const ServerUrl& url, const std::filesystem::path& ca_file) {
  const std::string there = (url.host.contains(':') ? "[" + url.host + "]" : url.host) + ":" + std::to_string(url.port);
  Address address{.text = there,
                  .host = url.authority,
                  .base_path = url.base_path,
                  .host_name = std::make_shared<const HostName>(url.host, url.port)};
  if (!url.is_secure) return address;
  // A connection is for those who trust the same.
  address.text = std::string(kHttps) + there + " " + ca_file.string();
  auto tls = TlsClient::load(url.host, ca_file);
  if (!tls) return std::unexpected(std::move(tls.error()));
  address.tls = std::move(*tls);
  return address;
}

}  // namespace gbgreg::net

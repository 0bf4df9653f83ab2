// Where a backend is, and how it is spoken to. Values; they come from the configuration or the fleet, never from a
// client.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "core/core.h"

namespace gbgreg::net {

class HostName;
class TlsClient;

struct Address {
  // "unix:/run/x.sock" or "127.0.0.1:11436", or of an outside server what tells it from others. Idle connections are
  // kept by it.
  std::string text;
  std::string host = "localhost";                  // What the Host field says.
  std::string base_path = {};                      // Before each target: "", "/openai".
  std::shared_ptr<const HostName> host_name = {};  // Of an outside server; null where `text` is the address.
  std::shared_ptr<const TlsClient> tls = {};       // Null is plain HTTP.
  bool operator==(const Address&) const = default;
};

// "https://den.example/openai/v1", taken apart. The port is the scheme's where none is said; a last /v1 is left out,
// since every target begins with it.
struct ServerUrl {
  bool is_secure = false;
  std::string host;  // "den.example", "192.168.1.7", "::1"; in small letters.
  std::uint16_t port = 0;
  std::string authority;  // "den.example", "[::1]:8000": the Host field.
  std::string base_path = {};
  bool operator==(const ServerUrl&) const = default;
};

// Errors: malformed, with a sentence that says what a url looks like. It never repeats what stands before an @, which
// may be a secret.
Result<ServerUrl> parse_server_url(std::string_view url);

// Only the address is made here; a name is looked up when somebody connects. `ca_file` may be empty.
// Errors: unavailable, of the file.
Result<Address> server_address(const ServerUrl& url, const std::filesystem::path& ca_file);

}  // namespace gbgreg::net

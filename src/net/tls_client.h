// Our side of TLS towards one outside server: whom we trust to say who it is, and what is remembered of it.
//
// Its certificate must come from an authority of the system's store, or of the owner's file, and be for the server's
// host; there is no way around that. Sessions are kept for a short handshake the next time. Any thread.
#pragma once

#include <openssl/ssl.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/core.h"
#include "net/pem_file.h"
#include "net/tls_stream.h"

namespace gbgreg::net {

class TlsClient : public std::enable_shared_from_this<TlsClient> {
 public:
  static constexpr std::size_t kSessionsMax = 16;

  // `host` is a name or an address. With `ca_file`, authorities in PEM, only those count.
  // Errors: unavailable, which names the file at fault and says why.
  static Result<std::shared_ptr<const TlsClient>> load(std::string host, const std::filesystem::path& ca_file);

  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // For a connected socket. The result keeps this object alive.
  std::unique_ptr<TlsStream> connect_on(int descriptor) const;

  // What a handshake that failed means for the owner. Kind unavailable.
  static Error explain(const TlsStream& failed);

 private:
  struct SessionDeleter {
    void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
  };
  using SessionPtr = std::unique_ptr<SSL_SESSION, SessionDeleter>;

  explicit TlsClient(std::string host) : host_(std::move(host)) {}
  static int keep_session(SSL* ssl, SSL_SESSION* session);
  SessionPtr take_session() const;

  std::string host_;
  bool host_is_address_ = false;
  SslContextPtr context_;
  mutable std::mutex mutex_;  // Guards the sessions.
  mutable std::vector<SessionPtr> sessions_;
};

}  // namespace gbgreg::net

#include "net/tls_client.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <new>

namespace gbgreg::net {
namespace {

// All we speak, with the length before it, as ALPN wants it.
constexpr std::array<unsigned char, 9> kProtocols{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// What the owner has to do about a certificate that was not accepted. The host stands in none of these: they are told
// to whoever reads /health.
std::string about_certificate(long result) {
  switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "the certificate is for another host: `url` must have a name that stands in its subjectAltName.";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the certificate has expired: have it renewed there.";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the certificate is not valid yet: see to the clocks of both machines.";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "the certificate is signed by nobody whom this machine trusts: name the authority's PEM file in `ca_file` "
             "of this server, or install it (or the package ca-certificates) in the system.";
    default:
      return std::string("the certificate is not accepted: ") + X509_verify_cert_error_string(result) + ".";
  }
}

}  // namespace

Result<std::shared_ptr<const TlsClient>> TlsClient::load(std::string host, const std::filesystem::path& ca_file) {
  std::shared_ptr<TlsClient> client(new TlsClient(std::move(host)));
  boost::system::error_code is_name;
  (void)asio::ip::make_address(client->host_, is_name);
  client->host_is_address_ = !is_name;

  ERR_clear_error();
  client->context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* raw = client->context_.get();
  if (raw == nullptr) return fail(Kind::unavailable, "bad_certificate", "TLS: " + openssl_reason() + ".");
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, kTlsCiphers);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  // A server that closes without a goodbye may have been cut off: bodies without a length end by it.
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_alpn_protos(raw, kProtocols.data(), kProtocols.size());
  SSL_CTX_set_app_data(raw, client.get());
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(raw, keep_session);
  if (ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(raw);
    return client;
  }
  if (auto checked = check_pem_file(ca_file); !checked) return std::unexpected(std::move(checked.error()));
  if (SSL_CTX_load_verify_file(raw, ca_file.c_str()) != 1) {
    ERR_clear_error();
    return bad_pem_file(ca_file, "there is no certificate in PEM form in it.");
  }
  return client;
}

std::unique_ptr<TlsStream> TlsClient::connect_on(int descriptor) const {
  SslPtr ssl(SSL_new(context_.get()));
  if (ssl == nullptr) throw std::bad_alloc();
  X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl.get());
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  // A host that is not checked must never happen, so a failure here is one of memory and ends the attempt.
  const bool is_set = host_is_address_ ? X509_VERIFY_PARAM_set1_ip_asc(wanted, host_.c_str()) == 1
                                       : X509_VERIFY_PARAM_set1_host(wanted, host_.data(), host_.size()) == 1 &&
                                             SSL_set_tlsext_host_name(ssl.get(), host_.c_str()) == 1;
  if (!is_set) throw std::bad_alloc();
  if (const SessionPtr session = take_session()) SSL_set_session(ssl.get(), session.get());
  return std::make_unique<TlsStream>(std::move(ssl), descriptor, shared_from_this());
}

// One of TLS 1.3 is good for one connection, so that nobody can tell that two are by the same client.
TlsClient::SessionPtr TlsClient::take_session() const {
  const std::lock_guard lock(mutex_);
  if (sessions_.empty()) return nullptr;
  SessionPtr newest = std::move(sessions_.back());
  sessions_.pop_back();
  if (SSL_SESSION_get_protocol_version(newest.get()) < TLS1_3_VERSION && SSL_SESSION_up_ref(newest.get()) == 1) {
    sessions_.emplace_back(newest.get());
  }
  return newest;
}

// Called by OpenSSL. To take the session is to say 1; no exception may leave.
int TlsClient::keep_session(SSL* ssl, SSL_SESSION* session) {
  const auto& client = *static_cast<const TlsClient*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  try {
    const std::lock_guard lock(client.mutex_);
    if (client.sessions_.size() >= kSessionsMax) client.sessions_.erase(client.sessions_.begin());
    client.sessions_.reserve(kSessionsMax);
    client.sessions_.emplace_back(session);
    return 1;
  } catch (const std::bad_alloc&) {
    return 0;
  }
}

Error TlsClient::explain(const TlsStream& failed) {
  Error error{.kind = Kind::unavailable,
              .code = "backend_tls_failed",
              .message = {},
              .detail = "TLS: " + std::string(failed.reason()),
              .retry_after_seconds = 1};
  const long verified = failed.verify_result();
  if (verified != X509_V_OK) {
    error.message = "The model's server is not who it should be, by TLS: " + about_certificate(verified);
    error.detail.append(", ").append(X509_verify_cert_error_string(verified));
  } else if (failed.reason() == "wrong version number" || failed.reason() == "packet length too long") {
    error.message =
        "The model's server speaks no TLS on this port: its `url` must begin with http://, or have another.";
  } else {
    error.message = "The TLS handshake with the model's server failed; the gateway's log says why.";
  }
  return error;
}

}  // namespace gbgreg::net

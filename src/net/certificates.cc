#include "net/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509err.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <new>
#include <string_view>

#include "net/pem_file.h"

namespace gbgreg::net {
namespace {

namespace fs = std::filesystem;

bool first_error_is(int library, int reason) {
  const unsigned long code = ERR_peek_error();
  return ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason;
}

void warn_of_open_key(const fs::path& file) {
  struct stat found{};
  if (stat(file.c_str(), &found) != 0 || (found.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) == 0) return;
  spdlog::warn("{}: other users may read or write this private key; chmod 0600 (or 0640) takes that from them",
               file.string());
}

// Of a certificate that is not valid now, clients say so in words of their own that nobody here sees.
void warn_of_wrong_time(const SSL_CTX* context, const fs::path& file) {
  const X509* certificate = SSL_CTX_get0_certificate(context);
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    spdlog::warn("{}: this certificate has expired, so clients will refuse it", file.string());
  } else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    spdlog::warn("{}: this certificate is not valid yet, so clients will refuse it", file.string());
  }
}

// OpenSSL would ask at the terminal. `wants_passphrase` may be null.
int give_no_passphrase(char*, int, int, void* wants_passphrase) {
  if (wants_passphrase != nullptr) *static_cast<bool*>(wants_passphrase) = true;
  return -1;
}

// HTTP/1.1 is all there is; a client that offers other protocols only is told so by the handshake.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  constexpr std::string_view kWanted = "http/1.1";
  std::string_view list(reinterpret_cast<const char*>(offered), offered_size);
  while (!list.empty()) {
    const std::string_view name = list.substr(1, static_cast<unsigned char>(list.front()));
    if (name == kWanted) {
      *chosen = reinterpret_cast<const unsigned char*>(name.data());
      *chosen_size = static_cast<unsigned char>(name.size());
      return SSL_TLSEXT_ERR_OK;
    }
    list.remove_prefix(std::min(list.size(), 1 + name.size()));
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

SslContextPtr new_context() {
  SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return nullptr;
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, kTlsCiphers);
  // Many clients close without a word. Each request says itself where it ends, so nobody can pass a part for the whole.
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // A buffer that is empty costs nothing, and one record is read by one system call.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(raw, 1);
  // Sessions are resumed by tickets, which the clients keep.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(raw, give_no_passphrase);
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  return context;
}

Result<void> use_key(SSL_CTX* context, const CertificateFiles& files) {
  bool wants_passphrase = false;
  SSL_CTX_set_default_passwd_cb_userdata(context, &wants_passphrase);
  const bool is_used = SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) == 1;
  SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
  if (is_used && SSL_CTX_check_private_key(context) == 1) return {};
  if (wants_passphrase) {
    ERR_clear_error();
    return bad_pem_file(
        files.key,
        "the private key has a passphrase, which nobody is there to type. Store it without one: openssl pkey "
        "-in KEY -out NEW.");
  }
  if (first_error_is(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH) ||
      first_error_is(ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH)) {
    ERR_clear_error();
    return bad_pem_file(files.key,
                        "this private key does not belong to the certificate in " + files.certificate.string() + ".");
  }
  return bad_pem_file(files.key,
                      "there is no private key in PEM form in it that can be used: " + openssl_reason() + ".");
}

Result<SslContextPtr> read_pair(const CertificateFiles& files) {
  for (const fs::path& file : {files.certificate, files.key}) {
    if (auto checked = check_pem_file(file); !checked) return std::unexpected(std::move(checked.error()));
  }
  ERR_clear_error();
  SslContextPtr context = new_context();
  if (context == nullptr) return bad_pem_file(files.certificate, openssl_reason() + ".");
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    const bool is_empty = first_error_is(ERR_LIB_PEM, PEM_R_NO_START_LINE);
    if (is_empty) ERR_clear_error();
    return bad_pem_file(files.certificate, is_empty ? "there is no certificate in PEM form in it."
                                                    : "the certificate cannot be used: " + openssl_reason() + ".");
  }
  auto keyed = use_key(context.get(), files);
  if (!keyed) return std::unexpected(std::move(keyed.error()));
  warn_of_open_key(files.key);
  warn_of_wrong_time(context.get(), files.certificate);
  return context;
}

}  // namespace

Certificates::Stamp Certificates::stamp_of(const fs::path& file) {
  struct stat found{};
  if (stat(file.c_str(), &found) != 0) return {};
  return {.device = found.st_dev,
          .inode = found.st_ino,
          .size = found.st_size,
          .changed_ns = std::int64_t{found.st_ctim.tv_sec} * 1'000'000'000 + found.st_ctim.tv_nsec};
}

Result<std::unique_ptr<Certificates>> Certificates::load(CertificateFiles files) {
  std::unique_ptr<Certificates> certificates(new Certificates(std::move(files)));
  // Before the files are read: what changes after that is seen as a change.
  certificates->seen_ = certificates->stamps();
  auto context = read_pair(certificates->files_);
  if (!context) return std::unexpected(std::move(context.error()));
  certificates->context_ = std::move(*context);
  return certificates;
}

std::unique_ptr<TlsStream> Certificates::accept_on(int descriptor, const Options& options) const {
  SslPtr ssl;
  {
    const std::lock_guard lock(mutex_);
    ssl.reset(SSL_new(context_.get()));
  }
  if (ssl == nullptr) throw std::bad_alloc();
  return std::make_unique<TlsStream>(std::move(ssl), descriptor, options.tls_hello_bytes_max);
}

void Certificates::look_for_changes() {
  const Stamps now = stamps();
  if (now == seen_) return;
  seen_ = now;
  auto context = read_pair(files_);
  if (!context) {
    spdlog::error("the changed certificate is not taken, the one before stays: {}", context.error().message);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    std::swap(context_, *context);
  }
  spdlog::info("new connections use the changed certificate in {}", files_.certificate.string());
}

}  // namespace gbgreg::net

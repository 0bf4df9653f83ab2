// What both sides of TLS have in common: the files that the owner names, and what is said of one that is no good.
#pragma once

#include <openssl/ssl.h>

#include <filesystem>
#include <memory>
#include <string>

#include "core/core.h"

namespace gbgreg::net {

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using SslContextPtr = std::unique_ptr<SSL_CTX, SslContextDeleter>;

// What TLS 1.2 may use: a fresh key for each connection and authenticated encryption. TLS 1.3 has nothing else.
inline constexpr const char* kTlsCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::unexpected<Error> bad_pem_file(const std::filesystem::path& file, const std::string& why);

// A file that can be opened and has an end. OpenSSL would say less about what is wrong. Errors: unavailable, which
// names the file and says why.
Result<void> check_pem_file(const std::filesystem::path& file);

// The reason of the first error in OpenSSL's queue, which is the cause of those behind it. Empties the queue.
std::string openssl_reason();

}  // namespace gbgreg::net

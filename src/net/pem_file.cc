#include "net/pem_file.h"

#include <openssl/err.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gbgreg::net {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kFileBytesMax = 1024 * 1024;

}  // namespace

std::unexpected<Error> bad_pem_file(const fs::path& file, const std::string& why) {
  return fail(Kind::unavailable, "bad_certificate", file.string() + ": " + why);
}

Result<void> check_pem_file(const fs::path& file) {
  struct stat found{};
  if (stat(file.c_str(), &found) != 0) return bad_pem_file(file, std::strerror(errno));
  if (!S_ISREG(found.st_mode)) return bad_pem_file(file, "it is not a file.");
  if (static_cast<std::uintmax_t>(found.st_size) > kFileBytesMax) {
    return bad_pem_file(file, "it has more than " + std::to_string(kFileBytesMax) + " bytes. Is it the right one?");
  }
  if (access(file.c_str(), R_OK) != 0) {
    return bad_pem_file(file,
                        std::string(std::strerror(errno)) + ". The user that gbgreg runs as must be able to read it.");
  }
  return {};
}

std::string openssl_reason() {
  const unsigned long code = ERR_peek_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason == nullptr ? "OpenSSL gives no reason" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace gbgreg::net

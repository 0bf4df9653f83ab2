// SHA-256, in one go or piece by piece.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

namespace gbgreg::models {

class Sha256 {
 public:
  Sha256();

  void add(std::string_view bytes);
  // In lower-case hexadecimal digits. Called once, at the end.
  std::string finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

std::string sha256_of(std::string_view bytes);

}  // namespace gbgreg::models

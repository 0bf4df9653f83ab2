// For tests: pairs of a certificate and a key, each signed by itself, made on the spot.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "core/ids.h"
#include "net/certificates.h"

namespace gbgreg::net {

// A folder for them that goes with the test.
class TestCertificates {
 public:
  TestCertificates() { std::filesystem::create_directory(folder_); }
  ~TestCertificates() { std::filesystem::remove_all(folder_); }
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

  // Writes a new pair over the one that was there. The key is encrypted when there is a passphrase. The names are as
  // OpenSSL writes them, "DNS:localhost,IP:127.0.0.1"; it is valid for an hour from `begins_in` seconds on, or from an
  // hour before.
  CertificateFiles make(const std::string& common_name, const char* passphrase = nullptr, const char* names = nullptr,
                        long begins_in = -3600) const {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begins_in);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), begins_in + 7200);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.c_str()),
                               -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    if (names != nullptr) {
      const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> alternatives(
          X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names), X509_EXTENSION_free);
      X509_add_ext(certificate.get(), alternatives.get(), -1);
    }
    X509_sign(certificate.get(), key.get(), EVP_sha256());

    const CertificateFiles files{.certificate = path("certificate.pem"), .key = path("key.pem")};
    write(files.certificate, [&](std::FILE* file) { PEM_write_X509(file, certificate.get()); });
    write(files.key, [&](std::FILE* file) {
      PEM_write_PKCS8PrivateKey(file, key.get(), passphrase == nullptr ? nullptr : EVP_aes_128_cbc(), nullptr, 0,
                                nullptr, const_cast<char*>(passphrase));
    });
    std::filesystem::permissions(files.key, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return files;
  }

 private:
  // A new file each time, as whoever renews certificates makes one.
  template <class Write>
  static void write(const std::filesystem::path& path, Write write_to) {
    const std::string made = path.string() + ".new";
    std::FILE* file = std::fopen(made.c_str(), "w");
    if (file == nullptr) std::abort();
    write_to(file);
    (void)std::fclose(file);
    std::filesystem::rename(made, path);
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("gbgreg_tls_" + random_hex(8));
};

}  // namespace gbgreg::net

// The certificate and private key that our side of TLS shows: read from two PEM files, and again when these change.
//
// Neither the key nor a byte of its file is ever logged or told.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <mutex>

#include "core/core.h"
#include "net/options.h"
#include "net/pem_file.h"
#include "net/tls_stream.h"

namespace gbgreg::net {

class Certificates {
 public:
  // Errors: unavailable, which names the file at fault and says why.
  static Result<std::unique_ptr<Certificates>> load(CertificateFiles files);

  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // Our side of TLS on a new connection, with the pair as it is now; what was made before keeps its own. Any thread.
  std::unique_ptr<TlsStream> accept_on(int descriptor, const Options& options) const;

  // Reads the pair again when one of the files is another one than before. One that is no good is logged, once, and the
  // old pair kept. Reads files, so it is for no I/O thread; one thread at a time.
  void look_for_changes();

 private:
  // What tells one state of a file from another.
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Stamps {
    Stamp certificate, key;
    bool operator==(const Stamps&) const = default;
  };

  explicit Certificates(CertificateFiles files) : files_(std::move(files)) {}
  static Stamp stamp_of(const std::filesystem::path& file);
  Stamps stamps() const { return {.certificate = stamp_of(files_.certificate), .key = stamp_of(files_.key)}; }

  CertificateFiles files_;
  Stamps seen_;
  mutable std::mutex mutex_;  // Guards the pointer, for the moment of taking a reference.
  SslContextPtr context_;
};

}  // namespace gbgreg::net

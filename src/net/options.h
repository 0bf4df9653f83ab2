// Every bound of the network, by name. SECURITY.md of the design gives the reasons; config/ may change them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace gbgreg::net {

struct CertificateFiles {
  std::filesystem::path certificate;  // PEM: the server's own first, then those between it and the root.
  std::filesystem::path key;          // PEM, without a passphrase. May be the same file.
};

struct Options {
  int threads = 0;  // 0: one per core.
  int connections_max = 10'000;

  // One head: request line or status line and all fields.
  std::size_t head_bytes_max = 32 * 1024;
  std::size_t head_fields_max = 100;
  std::size_t target_bytes_max = 8 * 1024;
  std::size_t chunk_extension_bytes_max = 4 * 1024;
  std::size_t trailer_bytes_max = 8 * 1024;

  std::size_t empty_lines_max = 8;  // Before a request line, where some old clients leave them.

  // One message of a TLS handshake. The handshake as a whole has the time of a head.
  std::size_t tls_hello_bytes_max = 16 * 1024;

  // What a read of a body takes at most; the second for bodies that go to the disk (Exchange::want_large_pieces).
  std::size_t piece_bytes_max = 16 * 1024;
  std::size_t large_piece_bytes_max = 256 * 1024;

  std::chrono::milliseconds head_timeout{15'000};        // From a head's first byte to its last.
  std::chrono::milliseconds idle_timeout{75'000};        // Between requests on a kept connection.
  std::chrono::milliseconds idle_buffer_timeout{1'000};  // Its read buffer is kept for so long of that.
  // A client keeps this rate, with its body and with reading its answer, or makes up for it within the grace
  // (patience.h). So the grace is also the longest wait in which nothing moves at all.
  std::uint64_t client_bytes_per_second_min = 1024;
  std::chrono::milliseconds body_grace{30'000};
  std::chrono::milliseconds write_grace{30'000};
  std::chrono::milliseconds write_timeout{30'000};  // A backend that takes nothing for so long is left.
  // After a refusal what still comes in is read and dropped, so that the client gets to see the answer: until nothing
  // comes for the first time, and never longer than the second.
  std::chrono::milliseconds linger_timeout{2'000};
  std::chrono::milliseconds linger_total_max{30'000};
  std::chrono::milliseconds drain_timeout{10'000};  // At shutdown, for answers under way.

  std::chrono::milliseconds connect_timeout{2'000};  // To one address of a backend.
  std::chrono::milliseconds secure_timeout{4'000};   // For the TLS handshake there.
  // On each thread. A kept connection holds one of the engine's threads, so the fleet counts on this bound, and on
  // there being no more of them than were busy at once: a worker's slots.
  std::size_t idle_connections_per_backend_max = 64;
  std::chrono::milliseconds idle_connection_kept_max{4'000};  // llama-server closes its side after 5 s.
};

}  // namespace gbgreg::net

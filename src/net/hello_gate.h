// Looks at what a client sends before OpenSSL does, for as long as a TLS handshake lasts.
//
// OpenSSL takes memory for a handshake message when it has read the message's length, which may be up to 128 KB in a
// ClientHello: nine bytes from each of ten thousand strangers would cost a gigabyte. So the length is looked at here
// first. And whoever speaks plain HTTP to a port for TLS is found out by its first byte, to be told so.
//
// Pure and incremental: bytes may be cut anywhere. Fuzzed (fuzz/hello_gate).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gbgreg::net {

class HelloGate {
 public:
  enum class Verdict : std::uint8_t {
    pass,
    plain_http,  // The first byte could begin a request line.
    not_tls,     // The first byte begins neither that nor a handshake.
    too_large,   // A message is announced that is over the bound.
  };

  explicit HelloGate(std::size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}

  // The next bytes from the client. What was not passed must not be read on, and nothing behind it either.
  Verdict take(std::string_view bytes);

 private:
  static constexpr std::size_t kRecordHeaderBytes = 5;
  static constexpr std::size_t kMessageHeaderBytes = 4;

  Verdict take_payload(std::string_view payload);

  std::size_t message_bytes_max_;
  bool begun_ = false;
  std::array<std::uint8_t, kRecordHeaderBytes> record_header_{};
  std::size_t record_header_size_ = 0;
  std::size_t record_left_ = 0;
  std::array<std::uint8_t, kMessageHeaderBytes> message_header_{};
  std::size_t message_header_size_ = 0;
  std::size_t message_left_ = 0;
};

}  // namespace gbgreg::net

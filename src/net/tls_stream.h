// Our side of TLS on one socket, accepted or connected. It never waits: each step says what it needs before it can go
// on, and whoever owns the socket waits for that (connection.h).
//
// One I/O thread, and one step at a time; a step of reading may come while one of writing waits.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "net/hello_gate.h"

namespace gbgreg::net {

namespace asio = boost::asio;

struct SslDeleter {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;

class TlsStream {
 public:
  enum class Step : std::uint8_t {
    done,
    wants_read,   // Call again when the socket can be read …
    wants_write,  // … or written.
    closed,       // The peer has closed, with a goodbye or without.
    failed,       // reason() says why. The connection is of no more use.
  };
  struct Moved {
    Step step = Step::done;
    std::size_t size = 0;  // Of plain text, when done.
  };

  // `ssl` must not be null. The descriptor must not block, and must outlive this object or not be used by it any more.
  TlsStream(SslPtr ssl, int descriptor, std::size_t hello_bytes_max);
  // The client's side. `owner` is what `ssl` may call back into. What a server may say in a handshake OpenSSL bounds,
  // and we chose whom we speak to: there is no gate.
  TlsStream(SslPtr ssl, int descriptor, std::shared_ptr<const void> owner);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  Step shake_hands();
  bool is_open() const { return open_; }  // The handshake is over.
  // The handshake failed because plain HTTP came. What was read of it is lost.
  bool heard_plain_http() const { return transport_.verdict == HelloGate::Verdict::plain_http; }

  Moved read(std::span<char> space);
  // Done when there is something to read that is not taken by this.
  Step peek();
  // Bytes came from the socket that nobody has read; the socket itself may stay silent.
  bool has_pending() const { return SSL_has_pending(ssl_.get()) == 1; }

  // Writes one record at most. A step that was not done must be called again with a piece that begins with the same
  // bytes and is not shorter.
  Moved write(asio::const_buffer piece);
  // Bytes that went to the socket since this was last asked.
  std::size_t take_sent() { return std::exchange(transport_.sent, 0); }

  // Tells the peer that nothing more comes, so that it knows the end from a connection that was cut.
  Step say_goodbye();

  // Of the last failure, for the log.
  std::string_view reason() const { return reason_; }
  // What was said of the peer's certificate, by OpenSSL's number: X509_V_OK, X509_V_ERR_….
  long verify_result() const { return SSL_get_verify_result(ssl_.get()); }
  bool is_resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

 private:
  // What stands between OpenSSL and the socket.
  struct Transport {
    SSL* ssl = nullptr;
    int descriptor = -1;
    HelloGate gate;
    HelloGate::Verdict verdict = HelloGate::Verdict::pass;
    bool in_handshake = true;
    bool at_end = false;
    std::size_t sent = 0;
  };
  static BIO_METHOD* transport_method();
  static int read_socket(BIO* bio, char* space, int size);
  static int write_socket(BIO* bio, const char* bytes, int size);
  static long control(BIO* bio, int command, long number, void* pointer);

  Step step_after(int result);
  void use_transport();

  std::shared_ptr<const void> owner_;  // Outlives ssl_.
  Transport transport_;
  SslPtr ssl_;
  bool open_ = false;
  std::string_view reason_;
};

}  // namespace gbgreg::net

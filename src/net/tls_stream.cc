#include "net/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>

namespace gbgreg::net {
namespace {

std::string_view system_reason(int error) {
  const char* text = strerrordesc_np(error);
  return text == nullptr ? "unknown" : text;
}

}  // namespace

TlsStream::TlsStream(SslPtr ssl, int descriptor, std::size_t hello_bytes_max)
    : transport_{.ssl = ssl.get(), .descriptor = descriptor, .gate = HelloGate(hello_bytes_max)}, ssl_(std::move(ssl)) {
  use_transport();
  SSL_set_accept_state(ssl_.get());
}

TlsStream::TlsStream(SslPtr ssl, int descriptor, std::shared_ptr<const void> owner)
    : owner_(std::move(owner)),
      transport_{.ssl = ssl.get(), .descriptor = descriptor, .gate = HelloGate(0), .in_handshake = false},
      ssl_(std::move(ssl)) {
  use_transport();
  SSL_set_connect_state(ssl_.get());
}

void TlsStream::use_transport() {
  BIO* bio = BIO_new(transport_method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, &transport_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

// OpenSSL's own for sockets would raise SIGPIPE, and shows nobody what comes in.
BIO_METHOD* TlsStream::transport_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (made == nullptr) throw std::bad_alloc();
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

int TlsStream::read_socket(BIO* bio, char* space, int size) {
  auto& transport = *static_cast<Transport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const ssize_t got = recv(transport.descriptor, space, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  transport.at_end = got == 0;
  // In TLS 1.2 only the first message can be large, and what follows it is in part encrypted.
  if (got > 0 && transport.in_handshake && SSL_version(transport.ssl) == TLS1_3_VERSION) {
    transport.verdict = transport.gate.take({space, static_cast<std::size_t>(got)});
    if (transport.verdict != HelloGate::Verdict::pass) return -1;
  }
  return static_cast<int>(got);
}

int TlsStream::write_socket(BIO* bio, const char* bytes, int size) {
  auto& transport = *static_cast<Transport*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const ssize_t sent = send(transport.descriptor, bytes, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) transport.sent += static_cast<std::size_t>(sent);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long TlsStream::control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  return command == BIO_CTRL_EOF && static_cast<Transport*>(BIO_get_data(bio))->at_end ? 1 : 0;
}

// What the call before this one came to. The error queue was empty before it.
TlsStream::Step TlsStream::step_after(int result) {
  if (result > 0) return Step::done;
  const int system_error = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Step::wants_read;
    case SSL_ERROR_WANT_WRITE:
      return Step::wants_write;
    case SSL_ERROR_ZERO_RETURN:
      return Step::closed;
    case SSL_ERROR_SYSCALL:
      reason_ = transport_.verdict == HelloGate::Verdict::too_large ? "a handshake message over its bound"
                : transport_.verdict == HelloGate::Verdict::not_tls ? "what came is not TLS"
                                                                    : system_reason(system_error);
      return Step::failed;
    default:
      break;
  }
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  reason_ = reason == nullptr ? "unknown" : reason;
  return Step::failed;
}

TlsStream::Step TlsStream::shake_hands() {
  ERR_clear_error();
  const Step step = step_after(SSL_do_handshake(ssl_.get()));
  if (step == Step::done) {
    open_ = true;
    transport_.in_handshake = false;
  }
  return step;
}

TlsStream::Moved TlsStream::read(std::span<char> space) {
  ERR_clear_error();
  std::size_t size = 0;
  const Step step = step_after(SSL_read_ex(ssl_.get(), space.data(), space.size(), &size));
  return {.step = step, .size = size};
}

TlsStream::Step TlsStream::peek() {
  ERR_clear_error();
  char byte = 0;
  std::size_t size = 0;
  return step_after(SSL_peek_ex(ssl_.get(), &byte, 1, &size));
}

TlsStream::Moved TlsStream::write(asio::const_buffer piece) {
  ERR_clear_error();
  std::size_t size = 0;
  const Step step = step_after(SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &size));
  return {.step = step, .size = size};
}

TlsStream::Step TlsStream::say_goodbye() {
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_.get());
  return result >= 0 ? Step::done : step_after(result);  // 0: ours is sent, theirs has not come.
}

}  // namespace gbgreg::net

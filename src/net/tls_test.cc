// The server over TLS, with real sockets: everything that it promises on a plain connection, and what only TLS has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <fstream>

#include "net/test_certificates.h"
#include "net/test_server.h"

namespace gbgreg::net {
namespace {

using TlsSocket = asio::ssl::stream<tcp::socket>;

// A client whose records go out as OpenSSL makes them: Asio's keeps them until the next read or write.
struct BareClient {
  BareClient(tcp::socket connected, asio::ssl::context& context, int version_max = TLS1_3_VERSION)
      : socket(std::move(connected)), ssl(SSL_new(context.native_handle()), SSL_free) {
    SSL_set_max_proto_version(ssl.get(), version_max);
    SSL_set_fd(ssl.get(), socket.native_handle());
    EXPECT_EQ(SSL_connect(ssl.get()), 1);
  }
  void send(std::string_view bytes) { SSL_write(ssl.get(), bytes.data(), static_cast<int>(bytes.size())); }

  tcp::socket socket;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl;
};

// How a connection ended, as the client sees it.
enum class End : std::uint8_t { said_goodbye, cut };

class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.threads = 2;
    options_.linger_timeout = std::chrono::milliseconds{200};
    certificates_ = *Certificates::load(made_.make("first"));
    start();
  }

  void start() {
    server_ = std::make_unique<Server>(options_, handler_);
    const auto bound = server_->listen(*parse_endpoint("127.0.0.1:0"), certificates_.get());
    ASSERT_TRUE(bound) << bound.error().message;
    std::memcpy(where_.data(), bound->data(), bound->size());
    server_->start();
  }

  tcp::socket connect_plain() {
    tcp::socket socket(context_);
    socket.connect(where_);
    return socket;
  }

  std::unique_ptr<TlsSocket> unshaken() { return std::make_unique<TlsSocket>(connect_plain(), client_); }

  std::unique_ptr<TlsSocket> connect() {
    auto socket = unshaken();
    socket->handshake(TlsSocket::client);
    return socket;
  }

  // An empty text when there was no handshake at all.
  std::string handshake_error(TlsSocket& socket) {
    boost::system::error_code error;
    socket.handshake(TlsSocket::client, error);
    return error ? error.message() : "";
  }

  static std::string read_to_end(TlsSocket& socket, End wanted_end = End::said_goodbye) {
    std::string answer;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    const bool said_goodbye = error == asio::error::eof;
    EXPECT_EQ(said_goodbye, wanted_end == End::said_goodbye) << error.message();
    return answer;
  }

  std::string talk(std::string_view bytes) {
    auto socket = connect();
    asio::write(*socket, asio::buffer(bytes));
    return read_to_end(*socket);
  }

  static std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  static std::string subject_of(TlsSocket& socket) {
    const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(socket.native_handle()),
                                                            X509_free);
    std::array<char, 100> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name.data(), name.size());
    return name.data();
  }

  static bool is_closed_without_a_word(int descriptor) {
    pollfd ended{.fd = descriptor, .events = POLLIN, .revents = 0};
    std::array<char, 16> word{};
    return poll(&ended, 1, 30'000) == 1 && recv(descriptor, word.data(), word.size(), MSG_DONTWAIT) == 0;
  }

  void wait_for_connections(int count) {
    while (server_->figures().connections != count) std::this_thread::yield();
  }

  TestCertificates made_;
  std::unique_ptr<Certificates> certificates_;
  Options options_;
  TestHandler handler_;
  std::unique_ptr<Server> server_;
  tcp::endpoint where_;
  IoContext context_;
  asio::ssl::context client_{asio::ssl::context::tls_client};
};

TEST_F(TlsTest, AnswersOneRequestAfterAnotherOnAConnection) {
  const std::string answer = talk(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree");
  EXPECT_NE(answer.find("\r\n\r\noneHTTP/1.1 200"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\r\n\r\ntwoHTTP/1.1 200"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nthree")) << answer;
}

TEST_F(TlsTest, TakesARequestThatComesByteByByte) {
  auto socket = connect();
  for (const char c :
       std::string_view("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")) {
    asio::write(*socket, asio::buffer(&c, 1));
  }
  EXPECT_EQ(body_of(read_to_end(*socket)), "hi");
}

TEST_F(TlsTest, TakesAHandshakeThatComesByteByByte) {
  auto socket = connect_plain();
  socket.set_option(tcp::no_delay(true));
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(client_.native_handle()), SSL_free);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), in, out);
  SSL_set_connect_state(ssl.get());
  const auto send_what_is_there = [&] {
    char byte = 0;
    while (BIO_read(out, &byte, 1) == 1) asio::write(socket, asio::buffer(&byte, 1));
  };
  const auto receive = [&] {
    std::array<char, 4096> piece{};
    BIO_write(in, piece.data(), static_cast<int>(socket.read_some(asio::buffer(piece))));
  };
  while (SSL_do_handshake(ssl.get()) != 1) {
    send_what_is_there();
    receive();
  }
  const std::string_view request = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
  send_what_is_there();
  std::array<char, 12> answer{};
  while (SSL_read(ssl.get(), answer.data(), answer.size()) <= 0) receive();
  EXPECT_EQ(std::string_view(answer.data(), answer.size()), "HTTP/1.1 200");
}

TEST_F(TlsTest, StreamsAndSaysWhereTheEndIs) {
  EXPECT_EQ(body_of(talk("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
            "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
  // Only the goodbye tells this end from a connection that was cut.
  EXPECT_EQ(body_of(talk("GET /stream HTTP/1.0\r\n\r\n")), "onetwothree");
}

TEST_F(TlsTest, CarriesLargeBodiesBothWays) {
  std::string body(3'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i * 7 % 26);
  for (const char* path : {"/echo", "/large_pieces"}) {
    auto socket = connect();
    asio::write(*socket,
                asio::buffer("POST " + std::string(path) +
                             " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n" + body));
    EXPECT_EQ(body_of(read_to_end(*socket)), body) << path;
  }
  EXPECT_GT(handler_.largest_piece, options_.piece_bytes_max);
  EXPECT_LE(handler_.largest_piece, options_.large_piece_bytes_max);
}

TEST_F(TlsTest, CancelsTheTaskOfAClientThatLeaves) {
  // A goodbye on a connection that stays open is enough, and so is a connection that ends without one.
  using Leave = void (*)(BareClient&);
  const Leave says_goodbye = [](BareClient& client) { SSL_shutdown(client.ssl.get()); };
  const Leave closes = [](BareClient& client) { client.socket.close(); };
  const Leave resets = [](BareClient& client) {
    client.socket.set_option(tcp::socket::linger(true, 0));
    client.socket.close();
  };
  for (const Leave leave : {says_goodbye, closes, resets}) {
    BareClient client(connect_plain(), client_);
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    handler_.waiting.acquire();
    leave(client);
    EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{10}));
  }
}

TEST_F(TlsTest, DoesNotTakeARecordThatSaysNothingForAClientThatLeaves) {
  BareClient client(connect_plain(), client_);
  client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  handler_.waiting.acquire();
  for (int i = 0; i < 3; ++i) {
    SSL_key_update(client.ssl.get(), SSL_KEY_UPDATE_REQUESTED);
    EXPECT_EQ(SSL_do_handshake(client.ssl.get()), 1);
    EXPECT_FALSE(handler_.left.try_acquire_for(std::chrono::milliseconds{50}));
  }
  client.socket.close();
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{10}));
}

TEST_F(TlsTest, LeavesAClientThatReadsNothing) {
  options_.write_grace = std::chrono::milliseconds{100};
  start();
  auto socket = connect();
  asio::write(*socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
}

TEST_F(TlsTest, ServesAClientThatReadsSlowlyAndFastEnough) {
  // The system takes more only when a good part of its queue is gone, which is longer than the grace: each write runs
  // into its timer, and what the client took meanwhile decides.
  options_.write_grace = std::chrono::milliseconds{1500};
  options_.client_bytes_per_second_min = 100'000;
  start();
  auto socket = unshaken();
  socket->lowest_layer().set_option(tcp::socket::receive_buffer_size(64 * 1024));
  socket->handshake(TlsSocket::client);
  asio::write(*socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
  std::string piece(66'000, '\0');
  pollfd hang_up{.fd = socket->lowest_layer().native_handle(), .events = POLLRDHUP, .revents = 0};
  for (int i = 0; i < 10; ++i) {
    asio::read(*socket, asio::buffer(piece));
    ASSERT_EQ(poll(&hang_up, 1, 250), 0) << "hung up on after piece " << i;
  }
  socket->lowest_layer().close();
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
}

TEST_F(TlsTest, GivesAHandshakeTheTimeOfAHeadAndCountsItsConnection) {
  options_.head_timeout = std::chrono::milliseconds{500};
  start();
  tcp::socket silent = connect_plain();
  // Not until one is open: a busy machine may look when it has been cut. SaysGoodbyeToIdleClients sees it open.
  while (server_->figures().accepted == 0) std::this_thread::yield();
  std::string answer;
  boost::system::error_code error;
  asio::read(silent, asio::dynamic_buffer(answer), error);
  EXPECT_EQ(answer, "");
  wait_for_connections(0);
}

TEST_F(TlsTest, CutsAHandshakeThatIsFedByteByByteForTooLong) {
  options_.head_timeout = std::chrono::milliseconds{500};
  start();
  tcp::socket socket = connect_plain();
  const std::string hello("\x16\x03\x01\x01\x00\x01\x00\x00\xfc", 9);
  asio::write(socket, asio::buffer(hello));
  pollfd ended{.fd = socket.native_handle(), .events = POLLIN, .revents = 0};
  boost::system::error_code error;
  while (!error && poll(&ended, 1, 20) == 0) asio::write(socket, asio::buffer("\x03", 1), error);
  wait_for_connections(0);
}

TEST_F(TlsTest, RefusesALargeHelloAtItsAnnouncement) {
  options_.head_timeout = std::chrono::minutes{5};
  start();
  tcp::socket socket = connect_plain();
  const std::string hello("\x16\x03\x01\x40\x00\x01\x01\xff\xff", 9);
  asio::write(socket, asio::buffer(hello));
  std::string rest;
  boost::system::error_code error;
  asio::read(socket, asio::dynamic_buffer(rest), error);  // Comes back long before the timeout of a head.
  wait_for_connections(0);
}

TEST_F(TlsTest, TellsWhoSpeaksPlainHttpToUseHttps) {
  for (const std::string_view request :
       {"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "PROPFIND / HTTP/1.1\r\n\r\n", "X"}) {
    tcp::socket socket = connect_plain();
    asio::write(socket, asio::buffer(request));
    std::string answer;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    EXPECT_EQ(error, asio::error::eof) << "no reset, which could swallow the answer: " << error.message();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
    EXPECT_EQ(body_of(answer), "https_expected");
  }
}

TEST_F(TlsTest, SpeaksTls12AndLaterOnly) {
  struct Case {
    int version;
    const char* name;
  };
  for (const Case& c : {Case{TLS1_2_VERSION, "TLSv1.2"}, Case{TLS1_3_VERSION, "TLSv1.3"}}) {
    auto socket = unshaken();
    SSL_set_min_proto_version(socket->native_handle(), c.version);
    SSL_set_max_proto_version(socket->native_handle(), c.version);
    EXPECT_EQ(handshake_error(*socket), "");
    EXPECT_STREQ(SSL_get_version(socket->native_handle()), c.name);
    asio::write(*socket, asio::buffer(std::string_view("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")));
    EXPECT_TRUE(read_to_end(*socket).starts_with("HTTP/1.1 200"));
  }
  auto old = unshaken();
  SSL_set_security_level(old->native_handle(), 0);
  SSL_set_min_proto_version(old->native_handle(), TLS1_VERSION);
  SSL_set_max_proto_version(old->native_handle(), TLS1_1_VERSION);
  EXPECT_THAT(handshake_error(*old), testing::HasSubstr("alert protocol version"));
}

TEST_F(TlsTest, AgreesOnHttp11AndOnNothingElse) {
  const auto offer = [](TlsSocket& socket, const std::string& list) {
    SSL_set_alpn_protos(socket.native_handle(), reinterpret_cast<const unsigned char*>(list.data()),
                        static_cast<unsigned>(list.size()));
  };
  auto both = unshaken();
  offer(*both, "\x02h2\x08http/1.1");
  EXPECT_EQ(handshake_error(*both), "");
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(both->native_handle(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");

  auto other = unshaken();
  offer(*other, "\x02h2");
  EXPECT_THAT(handshake_error(*other), testing::HasSubstr("no application protocol"));
}

TEST_F(TlsTest, DoesNotNegotiateAgain) {
  BareClient client(connect_plain(), client_, TLS1_2_VERSION);
  EXPECT_EQ(SSL_renegotiate(client.ssl.get()), 1);
  ERR_clear_error();
  (void)SSL_do_handshake(client.ssl.get());
  // The request for it was answered by a warning, which OpenSSL's clients take for the end.
  client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  char byte = 0;
  (void)SSL_read(client.ssl.get(), &byte, 1);
  EXPECT_EQ(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
}

TEST_F(TlsTest, ResumesByTicketAndKeepsNoSessionOfItsOwn) {
  SSL_CTX_set_session_cache_mode(client_.native_handle(), SSL_SESS_CACHE_CLIENT);
  auto first = unshaken();
  SSL_set_max_proto_version(first->native_handle(), TLS1_2_VERSION);
  first->handshake(TlsSocket::client);
  const std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(SSL_get1_session(first->native_handle()),
                                                                          SSL_SESSION_free);
  auto second = unshaken();
  SSL_set_max_proto_version(second->native_handle(), TLS1_2_VERSION);
  SSL_set_session(second->native_handle(), session.get());
  second->handshake(TlsSocket::client);
  EXPECT_EQ(SSL_session_reused(second->native_handle()), 1);
}

TEST_F(TlsTest, GivesNoGoodbyeWhenAnAnswerBreaksOff) {
  options_.drain_timeout = std::chrono::milliseconds{50};
  start();
  auto socket = connect();
  asio::write(*socket, asio::buffer(std::string_view("GET /flood_and_wait HTTP/1.0\r\n\r\n")));
  std::string read(TestHandler::kFloodPieces * 64 * 1024, '\0');
  asio::read(*socket, asio::buffer(read));
  server_->stop();
  read_to_end(*socket, End::cut);
}

TEST_F(TlsTest, SaysGoodbyeToIdleClientsWhenItStops) {
  auto socket = connect();
  asio::write(*socket, asio::buffer(std::string_view("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")));
  std::string answer;
  asio::read_until(*socket, asio::dynamic_buffer(answer), "\r\n\r\n");
  tcp::socket in_handshake = connect_plain();
  wait_for_connections(2);
  const SteadyTime began = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, options_.drain_timeout) << "it waited for a handshake";
  EXPECT_EQ(read_to_end(*socket), "");
}

TEST_F(TlsTest, UsesAChangedPairForNewConnectionsOnly) {
  auto old = connect();
  EXPECT_EQ(subject_of(*old), "first");
  certificates_->look_for_changes();
  EXPECT_EQ(subject_of(*connect()), "first");

  made_.make("second");
  certificates_->look_for_changes();
  EXPECT_EQ(subject_of(*connect()), "second");
  asio::write(*old, asio::buffer(std::string_view("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")));
  EXPECT_TRUE(read_to_end(*old).starts_with("HTTP/1.1 200"));
}

TEST_F(TlsTest, KeepsItsPairWhenTheChangedOneIsNoGood) {
  const std::filesystem::path key = made_.path("key.pem");
  std::ofstream(key) << "nothing";
  certificates_->look_for_changes();
  EXPECT_EQ(subject_of(*connect()), "first");
  std::filesystem::remove(key);
  certificates_->look_for_changes();
  EXPECT_EQ(subject_of(*connect()), "first");
  made_.make("second");
  certificates_->look_for_changes();
  EXPECT_EQ(subject_of(*connect()), "second");
}

TEST_F(TlsTest, RefusesClientsOverTheBoundWithoutAWord) {
  options_.connections_max = 1;
  start();
  const BareClient first(connect_plain(), client_);
  tcp::socket one_more = connect_plain();
  EXPECT_TRUE(is_closed_without_a_word(one_more.native_handle()));
  EXPECT_EQ(server_->figures().refused, 1U);
}

}  // namespace
}  // namespace gbgreg::net

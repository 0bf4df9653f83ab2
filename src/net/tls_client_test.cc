// The client before servers that speak TLS: whom it believes, and what it says of those whom it does not.
#include "net/tls_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "net/host_name.h"
#include "net/test_certificates.h"
#include "net/test_server.h"

namespace gbgreg::net {
namespace {

using testing::HasSubstr;

constexpr const char* kOwnNames = "DNS:localhost,IP:127.0.0.1";

class TlsClientTest : public testing::Test {
 protected:
  void serve(const char* names = kOwnNames, long begins_in = -3600) {
    files_ = made_.make("den", nullptr, names, begins_in);
    certificates_ = *Certificates::load(files_);
    options_.threads = 1;
    server_ = std::make_unique<Server>(options_, handler_);
    port_ = endpoint_text(*server_->listen(*parse_endpoint("127.0.0.1:0"), certificates_.get()));
    port_ = port_.substr(port_.rfind(':') + 1);
    server_->start();
  }
  Address at(const std::string& host, const std::filesystem::path& ca_file) const {
    return *server_address(*parse_server_url("https://" + host + ":" + port_), ca_file);
  }

  // The body of the answer, or the message of the error.
  std::string ask(const Address& address, const ClientRequest& request) {
    std::optional<std::string> result;
    auto story = [](IoThread& io, const Address& to, const ClientRequest& asked,
                    std::optional<std::string>& out) -> Task<void> {
      auto answer = co_await send(io, to, asked);
      if (!answer) {
        out = answer.error().code + ": " + answer.error().message;
        co_return;
      }
      auto body = co_await (*answer)->read_all(8 * 1024 * 1024);
      out = body ? std::move(*body) : body.error().code;
    };
    spawn(io_.executor(), "test", story(io_, address, request, result));
    while (!result) {
      io_.context().restart();
      io_.context().run_one();
    }
    return *result;
  }
  std::string echo(const Address& address, const std::string& body) {
    return ask(address, {.target = "/echo", .body = body});
  }

  static void read_to_end(tcp::socket& socket) {
    std::string rest;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(rest), error);
  }

  TestCertificates made_;
  CertificateFiles files_;
  std::unique_ptr<Certificates> certificates_;
  Options options_;
  TestHandler handler_;
  std::unique_ptr<Server> server_;
  std::string port_;
  IoThread io_{0, options_};
};

TEST_F(TlsClientTest, SpeaksToWhoeverTheOwnersFileAnswersForByNameAndByAddress) {
  serve();
  EXPECT_EQ(echo(at("localhost", files_.certificate), "hello"), "hello");
  EXPECT_EQ(echo(at("127.0.0.1", files_.certificate), "hello"), "hello");
}

TEST_F(TlsClientTest, CarriesLargeBodiesAndStreamsAndUsesAConnectionAgain) {
  serve();
  const Address address = at("localhost", files_.certificate);
  std::string large;
  large.resize(3'000'000, 'x');
  EXPECT_EQ(echo(address, large), large);
  EXPECT_EQ(ask(address, {.target = "/stream"}), "onetwothree");
  EXPECT_EQ(echo(address, "again"), "again");
  EXPECT_EQ(server_->figures().accepted, 1U);
}

TEST_F(TlsClientTest, OpensAnotherConnectionByTheSessionOfTheFirst) {
  serve();
  const Address address = at("localhost", files_.certificate);
  EXPECT_EQ(echo(address, "first"), "first");
  tcp::socket socket(io_.context());
  socket.connect({asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(std::stoi(port_))});
  const auto stream = address.tls->connect_on(socket.native_handle());
  while (stream->shake_hands() != TlsStream::Step::done) std::this_thread::yield();
  EXPECT_TRUE(stream->is_resumed());
  EXPECT_EQ(stream->verify_result(), X509_V_OK);
}

TEST_F(TlsClientTest, BelievesNobodyElse) {
  struct Case {
    const char* name;
    const char* names;
    long begins_in;
    const char* host;
    bool is_trusted;
    const char* says;
  };
  const Case cases[] = {
      {"another name", "DNS:elsewhere.example", -3600, "localhost", true, "for another host"},
      {"another address", "DNS:localhost,IP:127.0.0.2", -3600, "127.0.0.1", true, "for another host"},
      {"an address as a name", "DNS:127.0.0.1", -3600, "127.0.0.1", true, "for another host"},
      {"no name at all", nullptr, -3600, "localhost", true, "for another host"},
      {"expired", kOwnNames, -100'000, "localhost", true, "has expired"},
      {"not valid yet", kOwnNames, 100'000, "localhost", true, "not valid yet"},
      {"signed by a stranger", kOwnNames, -3600, "localhost", false, "`ca_file`"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    serve(c.names, c.begins_in);
    const std::string said = echo(at(c.host, c.is_trusted ? files_.certificate : std::filesystem::path()), "hello");
    EXPECT_THAT(said, HasSubstr("backend_tls_failed"));
    EXPECT_THAT(said, HasSubstr(c.says));
    EXPECT_THAT(said, testing::Not(HasSubstr(c.host)));  // Whoever may read /health need not know where it is.
  }
}

TEST_F(TlsClientTest, SaysThatAServerSpeaksNoTls) {
  files_ = made_.make("den", nullptr, kOwnNames);
  IoContext context;
  tcp::acceptor plain(context, {asio::ip::address_v4::loopback(), 0});
  port_ = std::to_string(plain.local_endpoint().port());
  const std::jthread answers([&] {
    tcp::socket socket = plain.accept();
    asio::write(socket, asio::buffer(std::string_view("HTTP/1.1 400 Bad Request\r\n\r\n")));
    read_to_end(socket);
  });
  EXPECT_THAT(echo(at("localhost", files_.certificate), "hello"), HasSubstr("speaks no TLS on this port"));
}

TEST_F(TlsClientTest, DoesNotWaitForAServerThatTakesTheConnectionAndNoMore) {
  options_.secure_timeout = std::chrono::milliseconds(50);
  files_ = made_.make("den", nullptr, kOwnNames);
  IoContext context;
  tcp::acceptor silent(context, {asio::ip::address_v4::loopback(), 0});
  port_ = std::to_string(silent.local_endpoint().port());
  EXPECT_THAT(echo(at("localhost", files_.certificate), "hello"), HasSubstr("backend_unreachable"));
}

TEST_F(TlsClientTest, GoesToTheNextAddressOfAName) {
  serve();
  Address address = at("localhost", files_.certificate);
  // Where nobody listens, and then where the server is.
  address.host_name = std::make_shared<const HostName>(
      "den", static_cast<std::uint16_t>(std::stoi(port_)), [](const std::string&) -> Result<HostName::Addresses> {
        return HostName::Addresses{asio::ip::make_address("127.0.0.77"), asio::ip::make_address("127.0.0.1")};
      });
  EXPECT_EQ(echo(address, "hello"), "hello");
}

}  // namespace
}  // namespace gbgreg::net

// The server with real sockets: what goes over the wire, byte by byte.
#include "net/server.h"

#include <gtest/gtest.h>

#include <boost/asio/read_until.hpp>

#include "net/test_server.h"

namespace gbgreg::net {
namespace {

TEST_F(ServerTest, AnswersOneRequestAfterAnotherOnAConnection) {
  const std::string answer = talk(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree");
  EXPECT_NE(answer.find("\r\n\r\noneHTTP/1.1 200"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\r\n\r\ntwoHTTP/1.1 200"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("Connection: close\r\nContent-Length: 5\r\n\r\nthree")) << answer;
}

TEST_F(ServerTest, TakesARequestThatComesByteByByte) {
  tcp::socket socket = connect();
  socket.set_option(tcp::no_delay(true));
  for (const char c :
       std::string_view("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")) {
    asio::write(socket, asio::buffer(&c, 1));
  }
  EXPECT_EQ(body_of(read_to_end(socket)), "hi");
}

TEST_F(ServerTest, StreamsInChunksAndToOldClientsUntilClose) {
  const std::string chunked = talk("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(body_of(chunked), "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
  const std::string old = talk("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.starts_with("HTTP/1.0 200"));
  EXPECT_EQ(old.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(body_of(old), "onetwothree");
}

TEST_F(ServerTest, SendsNoBodyForHead) {
  const std::string answer = talk("HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 0"), std::string::npos);
  const std::string stream = talk("HEAD /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(body_of(stream), "");
}

TEST_F(ServerTest, AsksForTheBodyOnlyWhenItIsRead) {
  tcp::socket socket = connect();
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
  asio::write(socket, asio::buffer(head));
  std::string interim(25, '\0');
  asio::read(socket, asio::buffer(interim));
  EXPECT_EQ(interim, "HTTP/1.1 100 Continue\r\n\r\n");
  asio::write(socket, asio::buffer("ok", 2));
  EXPECT_EQ(body_of(read_to_end(socket)), "ok");

  const std::string refused =
      talk("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 413")) << refused;
  EXPECT_NE(refused.find("Connection: close"), std::string::npos);
}

TEST_F(ServerTest, RefusesAMalformedHeadAndCloses) {
  EXPECT_TRUE(talk("GET / HTTP/1.1\n\n").starts_with("HTTP/1.1 400"));
  const std::string large = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'a');
  EXPECT_TRUE(talk(large).starts_with("HTTP/1.1 431"));
  for (const std::size_t size : {9'000, 40'000}) {
    const std::string answer = talk("GET /" + std::string(size, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 414 URI Too Long\r\n")) << answer;
    EXPECT_EQ(body_of(answer), "target_too_long");
  }
}

TEST_F(ServerTest, ReadsABodyInSmallPiecesUnlessAskedForLargeOnes) {
  const std::string body(2'000'000, 'x');
  const std::string head = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n";
  EXPECT_EQ(body_of(talk("POST /echo" + head + body)), body);
  EXPECT_LE(handler_.largest_piece, options_.piece_bytes_max);
  EXPECT_EQ(body_of(talk("POST /large_pieces" + head + body)), body);
  EXPECT_GT(handler_.largest_piece, options_.piece_bytes_max);
  EXPECT_LE(handler_.largest_piece, options_.large_piece_bytes_max);
}

TEST_F(ServerTest, SendsOneHeadWhenAnAnswerIsReplacedBeforeItsFirstByte) {
  for (const char* path : {"/sized_then_error", "/stream_then_error"}) {
    for (const char* method : {"GET", "HEAD"}) {
      SCOPED_TRACE(std::string(method) + path);
      const std::string answer =
          talk(std::string(method) + " " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      EXPECT_TRUE(answer.starts_with("HTTP/1.1 500")) << answer;
      EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos) << answer;
      EXPECT_EQ(answer.find("ETag"), std::string::npos) << answer;
      EXPECT_EQ(answer.find("Transfer-Encoding"), std::string::npos) << answer;
      EXPECT_EQ(body_of(answer), std::string_view(method) == "GET" ? "instead" : "");
    }
  }
}

TEST_F(ServerTest, PassesAFewEmptyLinesBeforeARequestWhereverTheyAreCut) {
  const std::string request = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  tcp::socket socket = connect();
  socket.set_option(tcp::no_delay(true));
  for (std::size_t i = 0; i < options_.empty_lines_max; ++i) {
    for (const char c : std::string_view("\r\n")) asio::write(socket, asio::buffer(&c, 1));
  }
  asio::write(socket, asio::buffer(request));
  EXPECT_TRUE(read_to_end(socket).starts_with("HTTP/1.1 200"));

  std::string too_many;
  for (std::size_t i = 0; i <= options_.empty_lines_max; ++i) too_many += "\r\n";
  EXPECT_TRUE(talk(too_many + request).starts_with("HTTP/1.1 400"));
}

TEST_F(ServerTest, CancelsTheTaskOfAClientThatLeaves) {
  tcp::socket socket = connect();
  asio::write(socket, asio::buffer(std::string_view("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")));
  handler_.waiting.acquire();
  socket.close();
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{10}));
}

TEST_F(ServerTest, RelaysThroughTheClientAndReusesItsConnections) {
  const std::string request =
      "POST /relay HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " + std::to_string(address_.size()) +
      "\r\n\r\n" + address_;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(body_of(talk(request)), "through");
  // 20 clients, and a pooled connection for each thread at most, not one for each request.
  EXPECT_LE(server_->figures().accepted, 20U + 4U);
}

TEST_F(ServerTest, ClosesTheConnectionToABackendWhoseAnswerNobodyWaitsFor) {
  tcp::acceptor backend(context_, {asio::ip::address_v4::loopback(), 0});
  const std::string address = "127.0.0.1:" + std::to_string(backend.local_endpoint().port());
  tcp::socket client = connect();
  asio::write(client, asio::buffer("POST /relay_until_left HTTP/1.1\r\nHost: a\r\nContent-Length: " +
                                   std::to_string(address.size()) + "\r\n\r\n" + address));
  tcp::socket relayed = backend.accept();
  std::string head;
  asio::read_until(relayed, asio::dynamic_buffer(head), "\r\n\r\n");
  client.close();
  const std::string rest = read_to_end(relayed);  // Comes back only because the gateway closes.
  EXPECT_EQ((head + rest).substr((head + rest).size() - 7), "through");
}

TEST_F(ServerTest, SaysThatNobodyListens) {
  const std::string nobody = "unix:/nonexistent/x.sock";
  const std::string answer =
      talk("POST /relay HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " + std::to_string(nobody.size()) +
           "\r\n\r\n" + nobody);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_EQ(body_of(answer), "backend_unreachable");
}

TEST_F(ServerTest, RefusesAPortThatIsTaken) {
  Server second(options_, handler_);
  const auto bound = second.listen(*parse_endpoint(address_));
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().kind, Kind::conflict);
}

TEST_F(ServerTest, StopsWhileAClientWaits) {
  options_.drain_timeout = std::chrono::milliseconds{100};
  tcp::socket idle = connect();
  tcp::socket socket = connect();
  asio::write(socket, asio::buffer(std::string_view("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")));
  handler_.waiting.acquire();
  server_->stop();
  EXPECT_EQ(read_to_end(socket), "");
}

}  // namespace
}  // namespace gbgreg::net

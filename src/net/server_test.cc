// The server with real sockets: what goes over the wire, byte by byte.
#include "net/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>
#include <new>
#include <optional>
#include <semaphore>
#include <thread>

#include "core/failing_memory.h"
#include "net/client.h"
#include "net/io_thread.h"

namespace gbgreg::net {
namespace {

using asio::ip::tcp;

// Answers by path: /echo gives the body back, /stream three pieces, /wait hangs until the client leaves, /flood writes
// for as long as it is read, /flood_and_wait a little and then hangs like /wait, /sized_then_error and
// /stream_then_error think again before their first byte, /relay asks the address in its body for /echo through the
// client, /short_of_memory?n makes the allocation behind the next n fail, /lost is a task that Asio destroys.
class TestHandler final : public Handler {
 public:
  std::counting_semaphore<> waiting{0};
  std::counting_semaphore<> left{0};
  std::atomic<std::size_t> largest_piece{0};
  static constexpr int kFloodPieces = 16;

  Task<void> handle(Exchange& exchange) override {
    const std::string_view path = exchange.head().path;
    if (path == "/stream") {
      exchange.begin_stream(200, "text/plain");
      for (const char* piece : {"one", "two", "three"}) (void)co_await exchange.write(piece);
      (void)co_await exchange.finish();
      co_return;
    }
    if (path == "/early") {
      (void)co_await exchange.respond(413, "text/plain", "too much");
      co_return;
    }
    if (path.ends_with("_then_error")) {
      const HeaderFields fields{{.name = "ETag", .value = "first"}};
      if (path == "/sized_then_error") exchange.begin_sized(200, "text/plain", 3, fields);
      if (path == "/stream_then_error") exchange.begin_stream(200, "text/plain", fields);
      EXPECT_FALSE(exchange.begun());
      (void)co_await exchange.respond(500, "text/plain", "instead");
      co_return;
    }
    if (path == "/flood") {
      co_await flood(exchange);
      co_return;
    }
    if (path == "/short_of_memory") fail_allocation_after(std::stoi(std::string(exchange.head().query)));
    if (path == "/lost") co_await begin_what_cannot_begin();
    if (path == "/flood_and_wait") {
      exchange.cancel_when_client_leaves();
      exchange.begin_stream(200, "text/plain");
      const std::string piece(64 * 1024, 'x');
      for (int i = 0; i < kFloodPieces; ++i) EXPECT_TRUE(co_await exchange.write(piece));
      co_await wait_for_client_to_leave(exchange);
      co_return;
    }
    if (path == "/large_pieces") exchange.want_large_pieces();
    std::string body;
    while (true) {
      auto piece = co_await exchange.read_body();
      if (!piece) {
        (void)co_await exchange.respond(http_status(piece.error().kind), "text/plain", piece.error().code);
        co_return;
      }
      if (piece->empty()) break;
      body.append(*piece);
      largest_piece = std::max(largest_piece.load(), piece->size());
    }
    if (path == "/wait") {
      co_await wait_for_client_to_leave(exchange);
    } else if (path.starts_with("/relay")) {
      if (path == "/relay_until_left") exchange.cancel_when_client_leaves();
      co_await relay(exchange, body);
    } else {
      (void)co_await exchange.respond(200, "text/plain", body);
    }
  }

  Task<void> refuse(Exchange& exchange, Error error) override {
    (void)co_await exchange.respond(http_status(error.kind), "text/plain", error.code);
  }

 private:
  static Task<void> begin_what_cannot_begin() {
    auto fail_to_begin = [](auto) { throw std::bad_alloc(); };
    co_await asio::async_initiate<const UseTask, void()>(std::move(fail_to_begin), use_task);
  }

  Task<void> flood(Exchange& exchange) {
    const std::string piece(64 * 1024, 'x');
    exchange.begin_stream(200, "text/plain");
    Result<void> written;
    while (written) written = co_await exchange.write(piece);
    EXPECT_EQ(written.error().kind, Kind::cancelled);
    left.release();
  }

  Task<void> wait_for_client_to_leave(Exchange& exchange) {
    exchange.cancel_when_client_leaves();
    asio::steady_timer timer(exchange.io().context(), std::chrono::minutes{1});
    waiting.release();
    auto token = asio::as_tuple(use_task);
    auto [error] = co_await timer.async_wait(token);
    if (error == asio::error::operation_aborted) left.release();
  }

  Task<void> relay(Exchange& exchange, const std::string& address_text) {
    const Address address{address_text};
    const ClientRequest request{.method = "POST", .target = "/echo", .body = "through"};
    auto answer = co_await send(exchange.io(), address, request);
    if (!answer) {
      (void)co_await exchange.respond(http_status(answer.error().kind), "text/plain", answer.error().code);
      co_return;
    }
    auto body = co_await (*answer)->read_all(1000);
    (void)co_await exchange.respond((*answer)->status(), "text/plain", body ? *body : body.error().code);
  }
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.threads = 2;
    options_.head_timeout = std::chrono::milliseconds{200};
    options_.linger_timeout = std::chrono::milliseconds{200};
    start();
  }

  // Starts a server with the options as they are now.
  void start() {
    server_ = std::make_unique<Server>(options_, handler_);
    const auto bound = server_->listen(*parse_endpoint("127.0.0.1:0"));
    ASSERT_TRUE(bound) << bound.error().message;
    address_ = endpoint_text(*bound).substr(7);
    port_ = static_cast<std::uint16_t>(std::stoi(address_.substr(address_.rfind(':') + 1)));
    server_->start();
  }

  tcp::socket connect() {
    tcp::socket socket(context_);
    socket.connect({asio::ip::address_v4::loopback(), port_});
    return socket;
  }

  // Sends `bytes` and reads to the end of the connection.
  std::string talk(std::string_view bytes) {
    tcp::socket socket = connect();
    asio::write(socket, asio::buffer(bytes));
    return read_to_end(socket);
  }

  // The same, for a server that may break the connection off; absent when it lets us wait for too long.
  std::optional<std::string> answer_in_time(std::string_view bytes) {
    tcp::socket socket = connect();
    boost::system::error_code error;
    asio::write(socket, asio::buffer(bytes), error);
    pollfd readable{.fd = socket.native_handle(), .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, 30'000) == 0) return std::nullopt;
    return read_to_end(socket);
  }

  static std::string read_to_end(tcp::socket& socket) {
    std::string answer;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    return answer;
  }

  // Sends `bytes`, and then one byte more each time that no answer has come yet, until the connection ends.
  std::string trickle(std::string_view bytes) {
    tcp::socket socket = connect();
    asio::write(socket, asio::buffer(bytes));
    pollfd answer{.fd = socket.native_handle(), .events = POLLIN, .revents = 0};
    boost::system::error_code error;
    while (!error && poll(&answer, 1, 20) == 0) asio::write(socket, asio::buffer("a", 1), error);
    return read_to_end(socket);
  }

  // Waits for a condition that another thread brings about.
  template <class Condition>
  static void wait_until(Condition condition) {
    while (!condition()) std::this_thread::yield();
  }

  static std::string text_between(const std::string& text, std::string_view before, std::string_view after) {
    const std::size_t begin = text.find(before) + before.size();
    return text.substr(begin, text.find(after, begin) - begin);
  }

  static std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  Options options_;
  TestHandler handler_;
  std::unique_ptr<Server> server_;
  std::string address_;
  std::uint16_t port_ = 0;
  IoContext context_;
};

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

TEST_F(ServerTest, ClosesOnAHeadThatDoesNotArrive) { EXPECT_EQ(talk("GET / HT"), ""); }

TEST_F(ServerTest, ClosesOnAHeadThatComesByteByByteForTooLong) { EXPECT_EQ(trickle("GET / HTTP/1.1\r\nX: "), ""); }

TEST_F(ServerTest, RefusesABodyThatStopsAndSaysThatTheClientWasTooSlow) {
  options_.body_grace = std::chrono::milliseconds{100};
  start();
  const std::string answer = talk("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n")) << answer;
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "body_timeout");
}

TEST_F(ServerTest, RefusesABodyThatNeverStopsAndNeverComes) {
  options_.body_grace = std::chrono::milliseconds{300};
  start();
  const std::string answer = trickle("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
}

TEST_F(ServerTest, LeavesAClientThatReadsNothing) {
  options_.write_grace = std::chrono::milliseconds{100};
  start();
  tcp::socket socket = connect();
  asio::write(socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
}

TEST_F(ServerTest, LeavesAClientThatReadsTooSlowly) {
  options_.write_grace = std::chrono::milliseconds{100};
  options_.client_bytes_per_second_min = std::uint64_t{1} << 40;
  start();
  tcp::socket socket = connect();
  asio::write(socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
  // However much is read, it is never fast enough: without a least rate this would go on for ever.
  std::string read(1024 * 1024, '\0');
  boost::system::error_code error;
  while (!error) socket.read_some(asio::buffer(read), error);
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
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

TEST_F(ServerTest, RefusesAHeadOverItsBoundAlsoBehindABody) {
  const std::string large = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n";
  const std::string answer = talk("POST /large_pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n" +
                                  std::string(600'000, 'b') + large);
  const std::size_t second = answer.rfind("HTTP/1.1 ");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(answer.substr(second).starts_with("HTTP/1.1 431")) << answer.substr(second);
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

TEST_F(ServerTest, HasOneBoundOnConnectionsForAllThreads) {
  options_.threads = 4;
  options_.connections_max = 4;
  start();
  std::vector<tcp::socket> clients;
  for (int i = 0; i < options_.connections_max; ++i) {
    clients.push_back(connect());
    asio::write(clients.back(), asio::buffer(std::string_view("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")));
    std::string answer;
    asio::read_until(clients.back(), asio::dynamic_buffer(answer), "\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << "client " << i << ": " << answer;
  }
  tcp::socket one_more = connect();
  const std::string refused = read_to_end(one_more);
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503")) << refused;
  EXPECT_NE(refused.find("Retry-After: 1\r\n"), std::string::npos) << refused;
  const std::string refusal = body_of(refused);
  EXPECT_NE(refused.find("Content-Length: " + std::to_string(refusal.size()) + "\r\n"), std::string::npos) << refused;
  const std::string id = text_between(refused, "X-Request-Id: ", "\r\n");
  EXPECT_TRUE(is_uuid(id)) << refused;
  EXPECT_EQ(text_between(refusal, "\"request_id\":\"", "\"}}"), id);
  EXPECT_EQ(server_->figures().refused, 1U);
  EXPECT_EQ(server_->figures().connections, 4);

  clients.pop_back();
  wait_until([this] { return server_->figures().connections == 3; });
  EXPECT_TRUE(talk("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(ServerTest, GivesThePlaceOfATaskThatIsLostBack) {
  options_.threads = 1;
  options_.connections_max = 2;
  start();
  for (int i = 0; i < 2 * options_.connections_max; ++i) {
    EXPECT_EQ(talk("GET /lost HTTP/1.1\r\nHost: a\r\n\r\n"), "") << i;
    wait_until([this] { return server_->figures().connections == 0; });
  }
  EXPECT_TRUE(talk("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(ServerTest, GoesOnWhicheverAllocationFails) {
  options_.threads = 1;
  start();
  const std::string ask = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  constexpr int kAllocations = 80;  // More than two requests need, so that accepting meets each failure, too.
  for (int spared = 0; spared < kAllocations; ++spared) {
    SCOPED_TRACE(spared);
    const int failed_before = failed_allocations();
    (void)answer_in_time("GET /short_of_memory?" + std::to_string(spared) +
                         " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while (failed_allocations() == failed_before) {
      const auto answer = answer_in_time(ask);
      ASSERT_TRUE(answer) << "nobody answers";
    }
    const auto answer = answer_in_time(ask);
    ASSERT_TRUE(answer) << "nobody answers";
    EXPECT_TRUE(answer->starts_with("HTTP/1.1 200")) << *answer;
    wait_until([this] { return server_->figures().connections == 0; });
  }
  const SteadyTime began = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, options_.drain_timeout);
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

class UnixSocketTest : public testing::Test {
 protected:
  void SetUp() override { options_.threads = 2; }
  void TearDown() override { std::filesystem::remove(path_); }

  // Binds a socket to the path as a gateway does that is killed later: nobody listens, the file stays.
  void leave_stale_socket() {
    asio::local::stream_protocol::acceptor gone(context_, asio::local::stream_protocol::endpoint(path_));
  }

  bool answers() {
    asio::local::stream_protocol::socket socket(context_);
    boost::system::error_code error;
    socket.connect(asio::local::stream_protocol::endpoint(path_), error);
    if (error) return false;
    asio::write(socket, asio::buffer(std::string_view("GET /echo HTTP/1.0\r\n\r\n")));
    std::string answer;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    return answer.starts_with("HTTP/1.0 200");
  }

  const std::string path_ = testing::TempDir() + "gbgreg_server_test_" + std::to_string(getpid()) + ".sock";
  const Endpoint address_ = *parse_endpoint("unix:" + path_);
  Options options_;
  TestHandler handler_;
  IoContext context_;
};

TEST_F(UnixSocketTest, IsNotTakenFromAGatewayThatLives) {
  Server first(options_, handler_);
  ASSERT_TRUE(first.listen(address_));
  first.start();
  {
    Server second(options_, handler_);
    const auto bound = second.listen(address_);
    ASSERT_FALSE(bound);
    EXPECT_EQ(bound.error().kind, Kind::conflict);
    EXPECT_EQ(bound.error().code, "address_in_use");
  }
  EXPECT_TRUE(answers());
}

TEST_F(UnixSocketTest, IsTakenOverWhenItsGatewayIsGone) {
  leave_stale_socket();
  ASSERT_TRUE(std::filesystem::exists(path_));
  Server server(options_, handler_);
  ASSERT_TRUE(server.listen(address_));
  server.start();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(answers()) << i;
}

TEST_F(UnixSocketTest, TakesNoOtherFileAway) {
  std::ofstream(path_) << "somebody's notes";
  Server server(options_, handler_);
  EXPECT_FALSE(server.listen(address_));
  EXPECT_EQ(std::filesystem::file_size(path_), 16U);
}

TEST_F(UnixSocketTest, ServesAClientThatReadsSlowlyAndFastEnough) {
  // A socket of this kind holds about 200 KB and takes more only when a quarter of it is left: longer than the grace.
  options_.write_grace = std::chrono::milliseconds{500};
  Server server(options_, handler_);
  ASSERT_TRUE(server.listen(address_));
  server.start();
  {
    asio::local::stream_protocol::socket socket(context_);
    socket.connect(asio::local::stream_protocol::endpoint(path_));
    asio::write(socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
    std::string piece(66'000, '\0');
    pollfd hang_up{.fd = socket.native_handle(), .events = POLLRDHUP, .revents = 0};
    for (int i = 0; i < 10; ++i) {
      asio::read(socket, asio::buffer(piece));
      ASSERT_EQ(poll(&hang_up, 1, 250), 0) << "hung up on after piece " << i;
    }
  }
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
}

TEST_F(UnixSocketTest, NoticesThatAClientLeavesAlsoAfterItReadSlowly) {
  options_.write_grace = std::chrono::milliseconds{500};
  Server server(options_, handler_);
  ASSERT_TRUE(server.listen(address_));
  server.start();
  asio::local::stream_protocol::socket socket(context_);
  socket.connect(asio::local::stream_protocol::endpoint(path_));
  asio::write(socket, asio::buffer(std::string_view("GET /flood_and_wait HTTP/1.1\r\nHost: a\r\n\r\n")));
  // As above, so slowly that the timer of a write fires before the system takes more.
  constexpr int kSlowPieces = 8;
  std::string piece(66'000, '\0');
  pollfd hang_up{.fd = socket.native_handle(), .events = POLLRDHUP, .revents = 0};
  for (int i = 0; i < kSlowPieces; ++i) {
    asio::read(socket, asio::buffer(piece));
    ASSERT_EQ(poll(&hang_up, 1, 250), 0) << "hung up on after piece " << i;
  }
  std::string rest(TestHandler::kFloodPieces * 64 * 1024 - kSlowPieces * piece.size(), '\0');
  asio::read(socket, asio::buffer(rest));
  ASSERT_TRUE(handler_.waiting.try_acquire_for(std::chrono::seconds{10}));
  socket.close();
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{10}));
}

TEST_F(UnixSocketTest, IsGoneAfterTheStop) {
  Server server(options_, handler_);
  ASSERT_TRUE(server.listen(address_));
  server.start();
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixSocketTest, StaysWhenItIsAnothersByThen) {
  Server server(options_, handler_);
  ASSERT_TRUE(server.listen(address_));
  server.start();
  // The first file is kept under another name, so that the second cannot be given its number.
  const std::string kept = path_ + ".kept";
  std::filesystem::rename(path_, kept);
  leave_stale_socket();
  server.stop();
  EXPECT_TRUE(std::filesystem::exists(path_));
  std::filesystem::remove(kept);
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

TEST(ParseEndpoint, ReadsTheFormsWeDocument) {
  EXPECT_EQ(endpoint_text(*parse_endpoint("127.0.0.1:3333")), "http://127.0.0.1:3333");
  EXPECT_EQ(endpoint_text(*parse_endpoint("localhost:80")), "http://127.0.0.1:80");
  EXPECT_EQ(endpoint_text(*parse_endpoint("[::1]:3333")), "http://[::1]:3333");
  EXPECT_EQ(endpoint_text(*parse_endpoint("unix:/tmp/x.sock")), "unix:/tmp/x.sock");
  for (const char* bad : {"", "3333", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "example.com:80", "unix:"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
  EXPECT_FALSE(parse_endpoint("unix:" + std::string(108, 'a')));
}

TEST(IsLoopback, TellsThisMachineFromTheRest) {
  EXPECT_TRUE(is_loopback(*parse_endpoint("127.0.0.1:1")));
  EXPECT_TRUE(is_loopback(*parse_endpoint("[::1]:1")));
  EXPECT_TRUE(is_loopback(*parse_endpoint("unix:/tmp/x")));
  EXPECT_FALSE(is_loopback(*parse_endpoint("0.0.0.0:1")));
}

}  // namespace
}  // namespace gbgreg::net

// What the server bounds: time for heads, bodies and reading, the size of a head, connections.
#include <gtest/gtest.h>

#include <boost/asio/read_until.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "net/test_server.h"

namespace gbgreg::net {
namespace {

class ServerLimitsTest : public ServerTest {};

TEST_F(ServerLimitsTest, ClosesOnAHeadThatDoesNotArrive) {
  options_.head_timeout = std::chrono::milliseconds{200};
  start();
  EXPECT_EQ(talk("GET / HT"), "");
}

TEST_F(ServerLimitsTest, ClosesOnAHeadThatComesByteByByteForTooLong) {
  options_.head_timeout = std::chrono::milliseconds{200};
  start();
  EXPECT_EQ(trickle("GET / HTTP/1.1\r\nX: "), "");
}

TEST_F(ServerLimitsTest, RefusesABodyThatStopsAndSaysThatTheClientWasTooSlow) {
  options_.body_grace = std::chrono::milliseconds{100};
  start();
  const std::string answer = talk("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n")) << answer;
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "body_timeout");
}

TEST_F(ServerLimitsTest, RefusesABodyThatNeverStopsAndNeverComes) {
  options_.body_grace = std::chrono::milliseconds{300};
  start();
  const std::string answer = trickle("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
}

TEST_F(ServerLimitsTest, LeavesAClientThatReadsNothing) {
  options_.write_grace = std::chrono::milliseconds{100};
  start();
  tcp::socket socket = connect();
  asio::write(socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
}

TEST_F(ServerLimitsTest, LeavesAClientThatReadsTooSlowly) {
  options_.write_grace = std::chrono::milliseconds{100};
  options_.client_bytes_per_second_min = std::uint64_t{1} << 40;
  start();
  tcp::socket socket = connect();
  asio::write(socket, asio::buffer(std::string_view("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")));
  // It always reads on, and the server always waits for it: without a least rate this would go on for ever. A client
  // that reads as fast as it is written to never keeps anybody waiting.
  std::string read(64 * 1024, '\0');
  boost::system::error_code error;
  while (!error) {
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
    socket.read_some(asio::buffer(read), error);
  }
  EXPECT_TRUE(handler_.left.try_acquire_for(std::chrono::seconds{30}));
}

TEST_F(ServerLimitsTest, RefusesAHeadOverItsBoundAlsoBehindABody) {
  const std::string large = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n";
  const std::string answer = talk("POST /large_pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n" +
                                  std::string(600'000, 'b') + large);
  const std::size_t second = answer.rfind("HTTP/1.1 ");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(answer.substr(second).starts_with("HTTP/1.1 431")) << answer.substr(second);
}

TEST_F(ServerLimitsTest, HasOneBoundOnConnectionsForAllThreads) {
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

}  // namespace
}  // namespace gbgreg::net

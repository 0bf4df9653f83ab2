// Listening on a Unix socket: its file, and clients that are slow on it.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <fstream>

#include "net/test_server.h"

namespace gbgreg::net {
namespace {

class UnixSocketTest : public testing::Test {
 protected:
  void SetUp() override { options_.threads = 2; }
  void TearDown() override { std::filesystem::remove(path_); }

  // Binds a socket to the path as a gateway does that is killed later: nobody listens, the file stays.
  void leave_stale_socket() {
    asio::local::stream_protocol::acceptor gone(context_, asio::local::stream_protocol::endpoint(path_));
  }

  // Empty when nobody answers.
  std::string answer_to(const std::string& path) {
    asio::local::stream_protocol::socket socket(context_);
    boost::system::error_code error;
    socket.connect(asio::local::stream_protocol::endpoint(path_), error);
    if (error) return {};
    asio::write(socket, asio::buffer("GET " + path + " HTTP/1.0\r\n\r\n"));
    std::string answer;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    return answer;
  }
  bool answers() { return answer_to("/echo").starts_with("HTTP/1.0 200"); }

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

TEST_F(UnixSocketTest, KnowsWhoseProgramItsClientIs) {
  Server server(options_, handler_);
  ASSERT_TRUE(server.listen(address_));
  server.start();
  EXPECT_TRUE(answer_to("/peer").ends_with("\r\n\r\nunix:" + std::to_string(getuid())));
}

TEST_F(UnixSocketTest, TakesNoOtherFileAway) {
  std::ofstream(path_) << "somebody's notes";
  Server server(options_, handler_);
  EXPECT_FALSE(server.listen(address_));
  EXPECT_EQ(std::filesystem::file_size(path_), 16U);
}

TEST_F(UnixSocketTest, ServesAClientThatReadsSlowlyAndFastEnough) {
  // A socket of this kind holds about 200 KB and takes more only when a quarter of it is left: longer than the grace.
  options_.write_grace = std::chrono::milliseconds{700};
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
  options_.write_grace = std::chrono::milliseconds{700};
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

}  // namespace
}  // namespace gbgreg::net

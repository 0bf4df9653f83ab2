// The client before backends that do not do what they should.
#include "net/client.h"

#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include "net/io_thread.h"

namespace gbgreg::net {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPatience = seconds(30);
constexpr std::string_view kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

SteadyTime in(milliseconds duration) { return std::chrono::steady_clock::now() + duration; }

// Takes one connection, reads a head from it and does what it is told; its end is awaited by the destructor.
class OneBackend {
 public:
  explicit OneBackend(std::function<void(tcp::socket&)> act)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}), thread_([this, act = std::move(act)] {
          tcp::socket socket = acceptor_.accept();
          std::string head;
          boost::system::error_code ignored;
          asio::read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", ignored);
          act(socket);
        }) {}
  // Nobody may have come, when a deadline had passed before: then we do, or accept() would never return.
  ~OneBackend() {
    IoContext io;
    tcp::socket last(io);
    boost::system::error_code ignored;
    last.connect(acceptor_.local_endpoint(), ignored);
  }
  OneBackend(const OneBackend&) = delete;
  OneBackend& operator=(const OneBackend&) = delete;
  Address address() const { return {"127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port())}; }

 private:
  IoContext io_;
  tcp::acceptor acceptor_;
  std::jthread thread_;
};

// Returns when the other side has closed.
void wait_for_close(tcp::socket& socket) {
  char byte = 0;
  boost::system::error_code error;
  while (!error) socket.read_some(asio::buffer(&byte, 1), error);
}

class ClientTest : public testing::Test {
 protected:
  template <class T>
  T wait_for(Task<T> task) {
    std::optional<T> result;
    auto store_result = [](Task<T> inner, std::optional<T>& out) -> Task<void> {
      out.emplace(co_await std::move(inner));
    };
    spawn(io_.executor(), "test", store_result(std::move(task), result));
    while (!result) {
      io_.context().restart();
      io_.context().run_one();
    }
    return std::move(*result);
  }

  // The error that ends the reading, or nothing when it came to its end or to the end of patience.
  std::optional<Error> failure_of(const Address& address, const ClientRequest& request) {
    auto story = [](IoThread& io, const Address& to, const ClientRequest& asked) -> Task<std::optional<Error>> {
      auto answer = co_await send(io, to, asked);
      if (!answer) co_return answer.error();
      const SteadyTime give_up = in(kPatience);
      while (std::chrono::steady_clock::now() < give_up) {
        auto piece = co_await (*answer)->read_body();
        if (!piece) co_return piece.error();
        if (piece->empty()) break;
      }
      co_return std::nullopt;
    };
    return wait_for(story(io_, address, request));
  }

  Options options_;
  IoThread io_{0, options_};
};

TEST_F(ClientTest, EndsAnAnswerAtItsDeadlineThoughBytesKeepComing) {
  OneBackend backend([](tcp::socket& socket) {
    boost::system::error_code error;
    asio::write(socket, asio::buffer(kChunkedHead), error);
    while (!error) asio::write(socket, asio::buffer(std::string_view("1\r\nx\r\n")), error);
  });
  const auto failure = failure_of(backend.address(), {.target = "/", .deadline = in(milliseconds(100))});
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, Kind::timed_out);
  EXPECT_EQ(failure->code, "deadline_passed");
}

TEST_F(ClientTest, EndsASendingAtItsDeadlineThoughTheBackendKeepsTaking) {
  std::promise<std::size_t> taken;
  OneBackend backend([&](tcp::socket& socket) {
    std::string piece(64 * 1024, '\0');
    std::size_t bytes = 0;
    boost::system::error_code error;
    while (!error) {
      bytes += socket.read_some(asio::buffer(piece), error);
      asio::steady_timer(socket.get_executor(), milliseconds(5)).wait();  // A slow taker, byte after byte.
    }
    taken.set_value(bytes);
  });
  std::string body;
  body.resize(32'000'000, 'x');
  const auto failure = failure_of(backend.address(), {.target = "/", .body = body, .deadline = in(milliseconds(100))});
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, Kind::timed_out);
  EXPECT_EQ(failure->code, "deadline_passed");
  EXPECT_LT(taken.get_future().get(), body.size() / 2);
}

TEST_F(ClientTest, TellsASilentBackendFromADeadlineThatPassed) {
  struct Case {
    const char* name;
    std::string_view says;
    ClientRequest request;
    const char* want;
  };
  const Case cases[] = {
      {"no head", "", {.target = "/", .head_timeout = milliseconds(50)}, "backend_silent"},
      {"half a head", "HTTP/1.1 2", {.target = "/", .head_timeout = milliseconds(50)}, "backend_silent"},
      {"no body", kChunkedHead, {.target = "/", .body_idle_timeout = milliseconds(50)}, "backend_silent"},
      {"no head by its time", "", {.target = "/", .first_byte_by = in(milliseconds(50))}, "backend_silent"},
      {"no body by its time", kChunkedHead, {.target = "/", .first_byte_by = in(milliseconds(50))}, "backend_silent"},
      {"no head by its time, which is past", "", {.target = "/", .first_byte_by = in(-seconds(1))}, "backend_silent"},
      {"no head by the deadline", "", {.target = "/", .deadline = in(milliseconds(50))}, "deadline_passed"},
      {"no body by the deadline", kChunkedHead, {.target = "/", .deadline = in(milliseconds(50))}, "deadline_passed"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    OneBackend backend([&](tcp::socket& socket) {
      boost::system::error_code ignored;
      asio::write(socket, asio::buffer(c.says), ignored);
      wait_for_close(socket);
    });
    ClientRequest request = c.request;
    if (request.deadline != SteadyTime::max()) request.deadline = in(milliseconds(50));
    const auto failure = failure_of(backend.address(), request);
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->kind, Kind::timed_out);
    EXPECT_EQ(failure->code, c.want);
  }
}

TEST_F(ClientTest, TakesAHeadWithoutEndForTheBackendsFailure) {
  OneBackend backend([](tcp::socket& socket) {
    boost::system::error_code ignored;
    asio::write(socket, asio::buffer("HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'a')), ignored);
    wait_for_close(socket);
  });
  const auto failure = failure_of(backend.address(), {.target = "/"});
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, Kind::backend_failed);
  EXPECT_EQ(failure->code, "backend_failed");
}

TEST_F(ClientTest, GivesUpOnAServerThatTakesNoConnection) {
  // Nobody accepts, and the queue of the kernel is full: it lets further connections wait without a word.
  IoContext io;
  tcp::acceptor acceptor(io, tcp::v4());
  acceptor.bind({asio::ip::address_v4::loopback(), 0});
  acceptor.listen(0);
  tcp::socket first(io);
  first.connect(acceptor.local_endpoint());
  tcp::socket second(io);
  second.async_connect(acceptor.local_endpoint(), [](const boost::system::error_code&) {});

  options_.connect_timeout = milliseconds(50);
  const Address address{"127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())};
  const auto failure = failure_of(address, {.target = "/", .deadline = in(kPatience)});
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind, Kind::unavailable);
  EXPECT_EQ(failure->code, "backend_unreachable");

  const auto late = failure_of(address, {.target = "/", .deadline = in(milliseconds(1))});
  ASSERT_TRUE(late);
  EXPECT_EQ(late->kind, Kind::timed_out);
}

// Takes one connection after the other and does with each what it is told.
class Backends {
 public:
  explicit Backends(std::vector<std::function<void(tcp::socket&)>> acts)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}), thread_([this, acts = std::move(acts)] {
          for (const auto& act : acts) {
            tcp::socket socket = acceptor_.accept();
            act(socket);
          }
        }) {}
  Address address() const { return {"127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port())}; }

 private:
  IoContext io_;
  tcp::acceptor acceptor_;
  std::jthread thread_;
};

void answer_next(tcp::socket& socket, std::string_view body) {
  std::string head;
  boost::system::error_code ignored;
  asio::read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", ignored);
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + std::string(body);
  asio::write(socket, asio::buffer(answer), ignored);
}

Task<Result<std::string>> ask(IoThread& io, const Address& address) {
  auto answer = co_await send(io, address, {.target = "/"});
  if (!answer) co_return std::unexpected(answer.error());
  co_return co_await (*answer)->read_all(100);
}

TEST_F(ClientTest, AsksAgainOnAKeptConnection) {
  Backends backend({[](tcp::socket& socket) {
    answer_next(socket, "first");
    answer_next(socket, "again");
  }});
  EXPECT_EQ(wait_for(ask(io_, backend.address())), "first");
  EXPECT_EQ(wait_for(ask(io_, backend.address())), "again");
}

TEST_F(ClientTest, DoesNotTakeLeftOverBytesForTheNextAnswer) {
  std::promise<void> was_read, has_said_more;
  Backends backend({[&](tcp::socket& socket) {
                      answer_next(socket, "first");
                      was_read.get_future().wait();
                      asio::write(socket,
                                  asio::buffer(std::string_view("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")));
                      has_said_more.set_value();
                      wait_for_close(socket);
                    },
                    [](tcp::socket& socket) { answer_next(socket, "right"); }});
  EXPECT_EQ(wait_for(ask(io_, backend.address())), "first");
  was_read.set_value();
  has_said_more.get_future().wait();
  EXPECT_EQ(wait_for(ask(io_, backend.address())), "right");
}

TEST_F(ClientTest, LeavesAKeptConnectionThatTheBackendClosed) {
  std::promise<void> closed;
  Backends backend({[&](tcp::socket& socket) {
                      answer_next(socket, "first");
                      socket.close();
                      closed.set_value();
                    },
                    [](tcp::socket& socket) { answer_next(socket, "right"); }});
  EXPECT_EQ(wait_for(ask(io_, backend.address())), "first");
  closed.get_future().wait();
  EXPECT_EQ(wait_for(ask(io_, backend.address())), "right");
}

}  // namespace
}  // namespace gbgreg::net

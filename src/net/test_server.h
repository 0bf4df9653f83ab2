// For tests: a handler that does what a request's path says, and a server with real sockets before it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <new>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>

#include "core/failing_memory.h"
#include "net/client.h"
#include "net/io_thread.h"
#include "net/server.h"

namespace gbgreg::net {

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
    if (path == "/peer") {
      (void)co_await exchange.respond(200, "text/plain", exchange.peer());
      co_return;
    }
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

}  // namespace gbgreg::net

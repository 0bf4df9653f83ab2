// An engine that costs next to nothing: it answers chat completions in llama-server's words at once or at a given pace,
// so that what is measured is what stands before it. As a worker of the gateway it takes llama-server's arguments; by
// hand it is `mock_engine --host /path.sock` or `mock_engine --port 8080`.
//
// The first word of the prompt that begins with "marker-" comes back in the answer; in a stream it comes back in every
// token with the token's number. In the prompt, "tokens=50" and "pace_us=1000" say how long a stream is and how fast.
#include <time.h>

#include <functional>
#include <memory>
#include <queue>
#include <vector>

#include "gateway/epoll_loop.h"

namespace {

using namespace gbgreg::bench;  // NOLINT(google-build-using-namespace): a program of one file.

constexpr std::size_t kReadBytes = 256UL * 1024;

std::int64_t now_us() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

struct Connection {
  int socket = -1;
  std::string in;
  std::string out;
  bool waits_for_room = false;
  bool is_listener = false;
  bool is_stdin = false;
  // The stream that is under way.
  std::string marker;
  int tokens_left = 0;
  int tokens_sent = 0;
  std::int64_t pace_us = 0;
  std::uint64_t generation = 0;  // Timers of an earlier life are void.
};

struct Timer {
  std::int64_t at_us;
  Connection* connection;
  std::uint64_t generation;
  bool operator>(const Timer& other) const { return at_us > other.at_us; }
};

long number_after(std::string_view text, std::string_view key, long otherwise) {
  const std::size_t at = text.find(key);
  return at == std::string_view::npos ? otherwise : std::strtol(text.data() + at + key.size(), nullptr, 10);
}

std::string marker_in(std::string_view body) {
  const std::size_t at = body.find("marker-");
  if (at == std::string_view::npos) return "none";
  return std::string(body.substr(at, body.find_first_of(" \"\\", at) - at));
}

class Engine {
 public:
  explicit Engine(const std::string& address) : listener_(listen_on(address)) {
    listening_.socket = listener_;
    listening_.is_listener = true;
    poller_.add(listener_, EPOLLIN, &listening_);
  }

  void run() {
    // The worker's life, as its own router would see it; the end of stdin is the end of the parent.
    input_.socket = STDIN_FILENO;
    input_.is_stdin = true;
    if (std::getenv("LLAMA_SERVER_ROUTER_PORT") != nullptr) poller_.add(STDIN_FILENO, EPOLLIN, &input_);
    std::puts("cmd_child_to_router:state:{\"state\":\"ready\",\"payload\":{}}");
    std::fflush(stdout);
    while (true) {
      poller_.wait(milliseconds_to_wait(),
                   [this](void* owner, std::uint32_t events) { take(*static_cast<Connection*>(owner), events); });
      for (const std::int64_t now = now_us(); !timers_.empty() && timers_.top().at_us <= now;) {
        const Timer timer = timers_.top();
        timers_.pop();
        if (timer.connection->generation == timer.generation) send_tokens(*timer.connection, now);
      }
    }
  }

 private:
  int milliseconds_to_wait() const {
    if (timers_.empty()) return -1;
    return static_cast<int>(std::max<std::int64_t>(0, (timers_.top().at_us - now_us() + 999) / 1000));
  }

  void take(Connection& connection, std::uint32_t events) {
    if (connection.is_stdin) std::exit(0);
    if (connection.is_listener) {
      accept_all();
      return;
    }
    if ((events & EPOLLOUT) != 0 && !flush(connection)) return;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    static std::string buffer(kReadBytes, '\0');
    const ssize_t got = ::recv(connection.socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      close(connection);
      return;
    }
    connection.in.append(buffer, 0, static_cast<std::size_t>(got));
    answer_all(connection);
  }

  void accept_all() {
    while (true) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket < 0) return;
      send_at_once(socket);
      if (free_.empty()) {
        all_.push_back(std::make_unique<Connection>());
        free_.push_back(all_.back().get());
      }
      Connection& connection = *free_.back();
      free_.pop_back();
      const std::uint64_t generation = connection.generation + 1;
      connection = {};
      connection.generation = generation;
      connection.socket = socket;
      poller_.add(socket, EPOLLIN, &connection);
    }
  }

  void answer_all(Connection& connection) {
    while (connection.tokens_left == 0) {
      const MessageHead head = read_head(connection.in);
      if (head.bytes == 0 || connection.in.size() < head.bytes + head.content_length) return;
      const std::string request = connection.in.substr(0, head.bytes + head.content_length);
      connection.in.erase(0, request.size());
      answer(connection, request, std::string_view(request).substr(head.bytes));
      if (connection.socket < 0) return;
    }
  }

  void answer(Connection& connection, std::string_view request, std::string_view body) {
    connection.marker = marker_in(body);
    if (request.starts_with("GET ")) {
      respond(connection, R"({"status":"ok"})");
    } else if (body.find("\"stream\":true") != std::string_view::npos) {
      connection.tokens_left = static_cast<int>(number_after(body, "tokens=", 16));
      connection.tokens_sent = 0;
      connection.pace_us = number_after(body, "pace_us=", 0);
      connection.out +=
          "HTTP/1.1 200 OK\r\nServer: mock\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
      send_tokens(connection, now_us());
    } else {
      respond(
          connection,
          R"({"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"You said )" +
              connection.marker +
              R"( and this is the answer to it, as long as a short answer is."}}],"created":1795479573,"model":"mock",)"
              R"("system_fingerprint":"v0.5.0","object":"chat.completion","usage":{"completion_tokens":16,)"
              R"("prompt_tokens":24,"total_tokens":40,"prompt_tokens_details":{"cached_tokens":0}},"id":"chatcmpl-mock",)"
              R"("timings":{"cache_n":0,"prompt_n":24,"prompt_ms":1.5,"predicted_n":16,"predicted_ms":2.5}})");
    }
  }

  void respond(Connection& connection, const std::string& json) {
    connection.out +=
        "HTTP/1.1 200 OK\r\nServer: mock\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: " +
        std::to_string(json.size()) + "\r\nKeep-Alive: timeout=5, max=100\r\n\r\n" + json;
    flush(connection);
  }

  // One event as llama-server writes it.
  static void append_event(std::string& out, const std::string& choices, const std::string& tail) {
    const std::string event =
        "data: {\"choices\":" + choices +
        R"(,"created":1795479573,"id":"chatcmpl-mock","model":"mock","system_fingerprint":"v0.5.0","object":"chat.completion.chunk")" +
        tail + "}\n\n";
    std::array<char, 16> size{};
    std::snprintf(size.data(), size.size(), "%zx\r\n", event.size());
    out += size.data() + event + "\r\n";
  }

  void send_tokens(Connection& connection, std::int64_t now) {
    while (connection.tokens_left > 0) {
      if (connection.tokens_sent == 0) {
        append_event(connection.out,
                     R"([{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}])", "");
      }
      append_event(connection.out,
                   R"([{"finish_reason":null,"index":0,"delta":{"content":")" + connection.marker + ":" +
                       std::to_string(connection.tokens_sent) + R"( "}}])",
                   "");
      ++connection.tokens_sent;
      if (--connection.tokens_left == 0) {
        append_event(connection.out, R"([{"finish_reason":"stop","index":0,"delta":{}}])", "");
        append_event(connection.out, "[]",
                     R"(,"usage":{"completion_tokens":16,"prompt_tokens":24,"total_tokens":40},"timings":{"cache_n":0,)"
                     R"("prompt_n":24,"prompt_ms":1.5,"predicted_n":16,"predicted_ms":2.5})");
        connection.out += "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
      } else if (connection.pace_us > 0) {
        timers_.push({now + connection.pace_us, &connection, connection.generation});
        break;
      }
    }
    if (flush(connection) && connection.tokens_left == 0) answer_all(connection);
  }

  // False when the connection is gone.
  bool flush(Connection& connection) {
    while (!connection.out.empty()) {
      const ssize_t sent = ::send(connection.socket, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        if (!connection.waits_for_room) poller_.change(connection.socket, EPOLLIN | EPOLLOUT, &connection);
        connection.waits_for_room = true;
        return true;
      }
      if (sent < 0) {
        close(connection);
        return false;
      }
      connection.out.erase(0, static_cast<std::size_t>(sent));
    }
    if (connection.waits_for_room) poller_.change(connection.socket, EPOLLIN, &connection);
    connection.waits_for_room = false;
    return true;
  }

  void close(Connection& connection) {
    ::close(connection.socket);
    connection.socket = -1;
    connection.tokens_left = 0;
    ++connection.generation;
    free_.push_back(&connection);
  }

  Poller poller_;
  int listener_;
  Connection listening_, input_;
  std::vector<std::unique_ptr<Connection>> all_;
  std::vector<Connection*> free_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string address;
  for (int i = 1; i + 1 < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--host" && argv[i + 1][0] == '/') address = std::string("unix:") + argv[i + 1];
    if (flag == "--port") address = argv[i + 1];
  }
  if (address.empty()) {
    std::fputs("mock_engine --host /path.sock | --port N\n", stderr);
    return 2;
  }
  Engine(address).run();
}

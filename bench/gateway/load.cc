// Sends chat completions over many connections and checks every answer: each prompt carries a marker that must come
// back, and each token of a stream carries its number, so an answer that is wrong, mixed up, cut or doubled is counted.
//
//   load --to 3333 --connections 64 --requests 100000               closed loop: each connection asks again at once
//   load --to 3333 --connections 64 --rate 2000 --seconds 10         open loop: so many a second, whatever the answers
//   load --to unix:/x.sock --stream --tokens 50 --pace-us 10000      streams, a token every so often
//   load --to 3333 --prompt-bytes 65536 --path /v1/chat/completions   longer prompts; another route
//   load --to 3333 --idle 10000                                      idle connections are opened and only held
//
// Prints one JSON object. In the open loop the latency counts from when a request was due, so a stall is seen in full.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "gateway/epoll_loop.h"

namespace {

using namespace gbgreg::bench;  // NOLINT(google-build-using-namespace): a program of one file.

struct Wanted {
  std::string to = "3333";
  std::string path = "/v1/chat/completions";
  std::vector<std::string> models = {"auto"};  // In turn.
  int connections = 1;
  long requests = 0;
  double rate = 0;
  double seconds = 0;
  bool stream = false;
  long tokens = 16;
  long pace_us = 0;
  std::size_t prompt_bytes = 512;
  int idle = 0;
  std::string key = "sk-none";
};

std::int64_t now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

struct Connection {
  int socket = -1;
  bool busy = false;
  std::string out;
  std::string in;
  std::int64_t due_ns = 0;
  std::int64_t first_byte_ns = 0;
  std::string marker;
  // What has been read of the answer under way.
  MessageHead head;
  bool status_ok = false;
  std::size_t chunk_left = 0;
  bool in_chunk = false;
  std::string body;
};

class Load {
 public:
  explicit Load(const Wanted& wanted) : wanted_(wanted), address_(wanted.to) {
    filler_.assign(wanted.prompt_bytes, 'x');
    for (std::size_t i = 5; i < filler_.size(); i += 6) filler_[i] = ' ';
    for (int i = 0; i < wanted.idle; ++i) idle_.push_back(connect_to(address_));
    for (int i = 0; i < wanted.connections; ++i) {
      connections_.push_back(std::make_unique<Connection>());
      open(*connections_.back());
      free_.push_back(connections_.back().get());
    }
  }

  void run() {
    start_ns_ = now_ns();
    const bool is_open_loop = wanted_.rate > 0;
    if (!is_open_loop) {
      while (!free_.empty() && may_ask()) ask_next(now_ns());
    }
    while (done_ < asked_ || may_ask()) {
      int wait_ms = 1000;
      if (is_open_loop) wait_ms = ask_what_is_due();
      poller_.wait(wait_ms,
                   [this](void* owner, std::uint32_t events) { take(*static_cast<Connection*>(owner), events); });
      if (now_ns() - last_progress_ns_ > kStallNs && last_progress_ns_ > 0) {
        stalled_ = asked_ - done_;
        break;
      }
    }
    print();
  }

 private:
  static constexpr std::int64_t kStallNs = 30'000'000'000;

  bool may_ask() const {
    if (wanted_.requests > 0 && asked_ >= wanted_.requests) return false;
    return wanted_.seconds <= 0 || static_cast<double>(now_ns() - start_ns_) < wanted_.seconds * 1e9;
  }

  int ask_what_is_due() {
    while (may_ask()) {
      const auto due =
          start_ns_ + static_cast<std::int64_t>(static_cast<double>(asked_ + late_.size()) / wanted_.rate * 1e9);
      const std::int64_t now = now_ns();
      if (due > now) return static_cast<int>((due - now) / 1'000'000);
      if (free_.empty()) {
        late_.push_back(due);
        if (late_.size() > 100'000) die("the server is far too slow for this rate");
      } else {
        ask_next(due);
      }
    }
    return 10;
  }

  void open(Connection& connection) {
    connection.socket = connect_to(address_);
    poller_.add(connection.socket, EPOLLIN, &connection);
  }

  void ask_next(std::int64_t due_ns) {
    Connection& connection = *free_.back();
    free_.pop_back();
    connection.busy = true;
    connection.due_ns = due_ns;
    connection.first_byte_ns = 0;
    connection.head = {};
    connection.body.clear();
    connection.in_chunk = false;
    connection.chunk_left = 0;
    connection.marker = "marker-" + std::to_string(asked_) + "-";
    ++asked_;
    const std::string& model = wanted_.models[static_cast<std::size_t>(asked_) % wanted_.models.size()];
    std::string body =
        "{\"model\":\"" + model + "\",\"messages\":[{\"role\":\"user\",\"content\":\"" + connection.marker;
    if (wanted_.stream) {
      body += " tokens=" + std::to_string(wanted_.tokens) + " pace_us=" + std::to_string(wanted_.pace_us);
    }
    body += " " + filler_ + "\"}],\"max_tokens\":16,\"temperature\":0.5";
    if (wanted_.stream) body += ",\"stream\":true";
    body += "}";
    connection.out =
        "POST " + wanted_.path +
        " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\nAuthorization: Bearer " + wanted_.key +
        "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    flush(connection);
  }

  void flush(Connection& connection) {
    while (!connection.out.empty()) {
      const ssize_t sent = ::send(connection.socket, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        poller_.change(connection.socket, EPOLLIN | EPOLLOUT, &connection);
        return;
      }
      if (sent < 0) return;  // The read side hears of it.
      connection.out.erase(0, static_cast<std::size_t>(sent));
    }
  }

  void take(Connection& connection, std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
      poller_.change(connection.socket, EPOLLIN, &connection);
      flush(connection);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    static std::string buffer(256UL * 1024, '\0');
    const ssize_t got = ::recv(connection.socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    last_progress_ns_ = now_ns();
    if (got <= 0) {
      ::close(connection.socket);
      const bool was_busy = connection.busy;
      open(connection);
      if (was_busy) {
        ++lost_;
        finish(connection, false);
      }
      return;
    }
    if (connection.first_byte_ns == 0) connection.first_byte_ns = last_progress_ns_;
    connection.in.append(buffer, 0, static_cast<std::size_t>(got));
    if (!connection.busy) {
      ++wrong_;  // Bytes that nobody asked for.
      connection.in.clear();
      return;
    }
    if (read_answer(connection)) finish(connection, true);
  }

  // True when the answer is whole.
  static bool read_answer(Connection& connection) {
    if (connection.head.bytes == 0) {
      connection.head = read_head(connection.in);
      if (connection.head.bytes == 0) return false;
      connection.status_ok = connection.in.starts_with("HTTP/1.1 200");
      connection.in.erase(0, connection.head.bytes);
    }
    if (!connection.head.is_chunked) {
      if (connection.in.size() < connection.head.content_length) return false;
      connection.body.assign(connection.in, 0, connection.head.content_length);
      connection.in.erase(0, connection.head.content_length);
      return true;
    }
    std::size_t at = 0;
    bool whole = false;
    while (!whole) {
      if (!connection.in_chunk) {
        const std::size_t end = connection.in.find("\r\n", at);
        if (end == std::string::npos) break;
        const std::size_t size = std::strtoull(connection.in.c_str() + at, nullptr, 16);
        if (size == 0) {
          if (connection.in.size() < end + 4) break;
          at = end + 4;
          whole = true;
          continue;
        }
        connection.chunk_left = size + 2;
        connection.in_chunk = true;
        at = end + 2;
      }
      const std::size_t piece = std::min(connection.chunk_left, connection.in.size() - at);
      const std::size_t data = connection.chunk_left > 2 ? std::min(piece, connection.chunk_left - 2) : 0;
      connection.body.append(connection.in, at, data);
      at += piece;
      connection.chunk_left -= piece;
      if (connection.chunk_left > 0) break;
      connection.in_chunk = false;
    }
    connection.in.erase(0, at);
    return whole;
  }

  bool is_right(const Connection& connection) const {
    if (!connection.status_ok) return false;
    if (!wanted_.stream) return connection.body.find(connection.marker) != std::string::npos;
    std::size_t at = 0;
    for (long token = 0; token < wanted_.tokens; ++token) {
      at = connection.body.find(connection.marker, at);
      if (at == std::string::npos) return false;
      const std::string number = ":" + std::to_string(token) + " ";
      at += connection.marker.size();
      if (connection.body.compare(at, number.size(), number) != 0) return false;
    }
    return connection.body.find(connection.marker, at) == std::string::npos &&
           connection.body.ends_with("data: [DONE]\n\n");
  }

  void finish(Connection& connection, bool is_whole) {
    ++done_;
    if (is_whole) {
      if (!is_right(connection)) {
        if (wrong_++ == 0) first_wrong_ = connection.body.substr(0, 300);
      }
      const std::int64_t now = now_ns();
      latencies_ns_.push_back(now - connection.due_ns);
      first_bytes_ns_.push_back(connection.first_byte_ns - connection.due_ns);
    }
    connection.busy = false;
    connection.in.clear();
    free_.push_back(&connection);
    if (!late_.empty()) {
      const std::int64_t due = late_.front();
      late_.pop_front();
      ask_next(due);
    } else if (wanted_.rate <= 0 && may_ask()) {
      ask_next(now_ns());
    }
  }

  static double at(std::vector<std::int64_t>& sorted, double fraction) {
    if (sorted.empty()) return 0;
    std::ranges::sort(sorted);
    const auto index = static_cast<std::size_t>(static_cast<double>(sorted.size()) * fraction);
    return static_cast<double>(sorted[std::min(index, sorted.size() - 1)]) / 1000;
  }

  void print() {
    const double seconds = static_cast<double>(now_ns() - start_ns_) / 1e9;
    std::printf(
        "{\"requests\":%ld,\"seconds\":%.3f,\"per_second\":%.1f,\"wrong\":%ld,\"lost\":%ld,\"stalled\":%ld,"
        "\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f,\"first_byte_p50_us\":%.1f,\"first_byte_p99_us\":%.1f}\n",
        done_, seconds, static_cast<double>(done_) / seconds, wrong_, lost_, stalled_, at(latencies_ns_, 0.5),
        at(latencies_ns_, 0.95), at(latencies_ns_, 0.99), at(first_bytes_ns_, 0.5), at(first_bytes_ns_, 0.99));
    if (wrong_ > 0) std::fprintf(stderr, "the first wrong answer: %s\n", first_wrong_.c_str());
  }

  Wanted wanted_;
  SocketAddress address_;
  Poller poller_;
  std::string filler_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> free_;
  std::vector<int> idle_;
  std::deque<std::int64_t> late_;  // When the requests were due that no connection was free for.
  std::vector<std::int64_t> latencies_ns_, first_bytes_ns_;
  std::int64_t start_ns_ = 0, last_progress_ns_ = 0;
  long asked_ = 0, done_ = 0, wrong_ = 0, lost_ = 0, stalled_ = 0;
  std::string first_wrong_;
};

}  // namespace

int main(int argc, char** argv) {
  Wanted wanted;
  CLI::App app{"Sends chat completions over many connections and checks every answer."};
  app.add_option("--to", wanted.to, "Port on 127.0.0.1, or unix:/path.sock");
  app.add_option("--path", wanted.path);
  app.add_option("--models", wanted.models, "Names that are asked in turn")->delimiter(',');
  app.add_option("--connections", wanted.connections);
  app.add_option("--requests", wanted.requests, "How many in all");
  app.add_option("--seconds", wanted.seconds, "How long new ones are sent");
  app.add_option("--rate", wanted.rate, "So many a second, whatever the answers do");
  app.add_flag("--stream", wanted.stream);
  app.add_option("--tokens", wanted.tokens, "Of each stream");
  app.add_option("--pace-us", wanted.pace_us, "Between two tokens");
  app.add_option("--prompt-bytes", wanted.prompt_bytes);
  app.add_option("--key", wanted.key, "Sent as a bearer");
  app.add_option("--idle", wanted.idle, "Connections that are opened and only held");
  CLI11_PARSE(app, argc, argv);
  if (wanted.requests <= 0 && wanted.seconds <= 0) {
    std::fputs("load needs --requests or --seconds: it never runs without a bound\n", stderr);
    return 2;
  }
  Load(wanted).run();
}

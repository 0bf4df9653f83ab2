// The physical limit of a proxy: bytes from one socket to another by epoll, without looking at them. Each client's
// connection has one of its own upstream.
//
//   raw_relay PORT UPSTREAM
#include <memory>
#include <vector>

#include "gateway/epoll_loop.h"

namespace {

using namespace gbgreg::bench;  // NOLINT(google-build-using-namespace): a program of one file.

struct Side {
  int socket = -1;
  Side* other = nullptr;
  std::string out;  // What its socket had no room for.
};

class Relay {
 public:
  Relay(const char* port, const char* upstream) : listener_(listen_on(port)), upstream_(upstream) {
    poller_.add(listener_, EPOLLIN, nullptr);
  }

  void run() {
    while (true) {
      poller_.wait(-1, [this](void* owner, std::uint32_t events) {
        if (owner == nullptr) {
          accept_all();
        } else {
          take(*static_cast<Side*>(owner), events);
        }
      });
      gone_.clear();
    }
  }

 private:
  void accept_all() {
    while (true) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket < 0) return;
      send_at_once(socket);
      auto* client = new Side;
      auto* server = new Side;
      client->socket = socket;
      server->socket = connect_to(upstream_);
      client->other = server;
      server->other = client;
      poller_.add(client->socket, EPOLLIN, client);
      poller_.add(server->socket, EPOLLIN, server);
    }
  }

  void take(Side& side, std::uint32_t events) {
    if (side.socket < 0) return;
    if ((events & EPOLLOUT) != 0) {
      flush(side);
      if (side.out.empty()) poller_.change(side.socket, EPOLLIN, &side);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    static std::array<char, 65536> buffer;
    const ssize_t got = ::recv(side.socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      close(side);
      return;
    }
    Side& to = *side.other;
    const bool was_empty = to.out.empty();
    to.out.append(buffer.data(), static_cast<std::size_t>(got));
    if (was_empty) flush(to);
    if (!to.out.empty()) poller_.change(to.socket, EPOLLIN | EPOLLOUT, &to);
  }

  static void flush(Side& side) {
    const ssize_t sent = ::send(side.socket, side.out.data(), side.out.size(), MSG_NOSIGNAL);
    if (sent > 0) side.out.erase(0, static_cast<std::size_t>(sent));
  }

  void close(Side& side) {
    for (Side* one : {&side, side.other}) {
      ::close(one->socket);
      one->socket = -1;
      gone_.emplace_back(one);  // Events of this round may still name it.
    }
  }

  Poller poller_;
  int listener_;
  SocketAddress upstream_;
  std::vector<std::unique_ptr<Side>> gone_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("raw_relay PORT UPSTREAM\n", stderr);
    return 2;
  }
  Relay(argv[1], argv[2]).run();
}

// For tests: a way to a PostgreSQL server's Unix socket that is cut at a word which the client sends: before the server
// has seen it, or before the client sees what the server says to it.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace gbgreg::storage {

class CuttingProxy {
 public:
  enum class Cut { before_the_server, before_the_client };

  // It listens in `folder`, as a server would.
  CuttingProxy(const std::filesystem::path& folder, const std::filesystem::path& server)
      : server_(server / kSocket), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = address_of(folder / kSocket);
    is_listening_ = ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                    ::listen(listener_, 16) == 0;
    thread_ = std::thread([this] { accept_all(); });
  }
  ~CuttingProxy() {
    is_ending_ = true;
    thread_.join();
    ::close(listener_);
  }
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  bool is_listening() const { return is_listening_; }
  // At the next such word, and once.
  void cut_at(std::string_view word, Cut where) {
    where_ = where;
    word_ = word;
    is_armed_ = true;
  }

 private:
  static constexpr const char* kSocket = ".s.PGSQL.5432";
  static constexpr int kLookMs = 20;

  static sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }
  static bool is_readable(int socket, int wait_ms) {
    pollfd watched{.fd = socket, .events = POLLIN, .revents = 0};
    return ::poll(&watched, 1, wait_ms) == 1;
  }

  void accept_all() {
    std::vector<std::thread> connections;
    while (!is_ending_) {
      if (!is_readable(listener_, kLookMs)) continue;
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client >= 0) connections.emplace_back([this, client] { carry(client); });
    }
    for (std::thread& connection : connections) connection.join();
  }

  void carry(int client) {
    const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = address_of(server_);
    bool goes_on = ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    while (goes_on && !is_ending_) {
      std::array<pollfd, 2> ends{pollfd{.fd = client, .events = POLLIN, .revents = 0},
                                 pollfd{.fd = server, .events = POLLIN, .revents = 0}};
      if (::poll(ends.data(), ends.size(), kLookMs) <= 0) continue;
      if (ends[0].revents != 0) goes_on = pass_on(client, server);
      if (goes_on && ends[1].revents != 0) goes_on = !pass(server, client).empty();
    }
    ::close(client);
    ::close(server);
  }

  // What was read; nothing when there is no more.
  static std::string read_some(int from) {
    std::string bytes(64 * 1024, '\0');
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }
  static std::string pass(int from, int to) {
    std::string bytes = read_some(from);
    if (!bytes.empty()) (void)::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return bytes;
  }
  // A statement that is only prepared is cut when it is executed, which is what the client sends next.
  bool pass_on(int client, int server) {
    const std::string bytes = read_some(client);
    if (bytes.empty()) return false;
    constexpr char kParse = 'P';
    const bool has_word = is_armed_ && bytes.find(word_) != bytes.npos;
    const bool is_cut = is_prepared_ || (has_word && bytes.front() != kParse);
    is_prepared_ = has_word && !is_cut;
    if (has_word) is_armed_ = false;
    if (is_cut && where_ == Cut::before_the_server) return false;
    (void)::send(server, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (!is_cut) return true;
    (void)read_some(server);  // It has done it, and nobody is told.
    return false;
  }

  const std::filesystem::path server_;
  int listener_;
  bool is_listening_ = false;
  std::atomic<bool> is_armed_ = false, is_prepared_ = false, is_ending_ = false;
  std::string word_;
  Cut where_ = Cut::before_the_server;
  std::thread thread_;
};

}  // namespace gbgreg::storage

#include "net/server.h"

#include <fcntl.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "net/rounds.h"
#include "net/session.h"

namespace gbgreg::net {
namespace {

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;

// When the process is out of descriptors, accepting again at once would spin.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr int kBacklog = 1024;

// For a client that there is no place for. This room knows no dialect and the request is not read, so nothing differs
// but the id and the date.
std::string no_place_answer(std::string_view date) {
  const std::string id = new_uuid(std::chrono::system_clock::now());
  std::string body = R"({"error":{"code":"too_many_connections","message":"There are as many connections as may be )"
                     R"((limits.connections_max). Try again in a moment.","request_id":")";
  body.append(id).append("\"}}");
  std::string answer = "HTTP/1.1 503 Service Unavailable\r\nDate: ";
  answer.append(date);
  answer.append("\r\nX-Request-Id: ").append(id);
  answer.append("\r\nContent-Type: application/json; charset=utf-8");
  answer.append("\r\nX-Content-Type-Options: nosniff");
  answer.append("\r\nRetry-After: 1");
  answer.append("\r\nConnection: close");
  answer.append("\r\nContent-Length: ").append(std::to_string(body.size()));
  answer.append("\r\n\r\n").append(body);
  return answer;
}

std::unexpected<Error> cannot_listen(const Endpoint& address, const boost::system::error_code& error) {
  const std::string text = endpoint_text(address);
  if (error == asio::error::address_in_use) {
    return fail(Kind::conflict, "address_in_use",
                text + " is taken by another program. Stop it, or choose another address with --listen.");
  }
  return fail(Kind::unavailable, "cannot_listen", "Cannot listen on " + text + ": " + error.message() + ".");
}

// As Exchange::peer() says it.
std::string peer_name(Socket& socket, const Endpoint& peer) {
  if (peer.protocol().family() != AF_UNIX) return endpoint_text(peer).substr(std::string_view("http://").size());
  ucred peer_process{};
  socklen_t size = sizeof(peer_process);
  const bool is_known = getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer_process, &size) == 0;
  return "unix:" + (is_known ? std::to_string(peer_process.uid) : std::string("unknown"));
}

boost::system::error_code last_error() { return {errno, boost::system::system_category()}; }

const char* path_of(const Endpoint& unix_address) {
  return static_cast<const char*>(reinterpret_cast<const sockaddr_un*>(unix_address.data())->sun_path);
}

// Makes way for a Unix socket: takes away the file of a gateway that is gone, and leaves every other file where it is.
// Who it belongs to is found out by knocking. Errors: conflict (somebody answers), unavailable.
Result<void> clear_stale_socket(const Endpoint& address) {
  const int knocking = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (knocking < 0) return cannot_listen(address, last_error());
  const bool is_open = connect(knocking, address.data(), static_cast<socklen_t>(address.size())) == 0;
  const int refusal = is_open ? 0 : errno;
  close(knocking);
  // A listener whose queue is full lets nobody in at this moment, and lives.
  if (is_open || refusal == EAGAIN) return cannot_listen(address, asio::error::address_in_use);
  struct stat found{};
  const bool is_stale =
      refusal == ECONNREFUSED && lstat(path_of(address), &found) == 0 && S_ISSOCK(found.st_mode);  // Not a mere file.
  if (is_stale) unlink(path_of(address));
  return {};
}

}  // namespace

// How many connections there are, over all lanes, against the most that there may be. Any thread.
class Server::Places {
 public:
  struct GiveBack {
    void operator()(Places* places) const noexcept { places->taken_.fetch_sub(1, std::memory_order_relaxed); }
  };
  // One place, given back by its destructor.
  using Place = std::unique_ptr<Places, GiveBack>;

  explicit Places(int places_max) : places_max_(places_max) {}
  // Null when none is left.
  Place take() {
    const int taken_before = taken_.fetch_add(1, std::memory_order_relaxed);
    Place place(this);
    if (taken_before >= places_max_) place.reset();
    return place;
  }

 private:
  int places_max_;
  std::atomic<int> taken_{0};
};

// The file of a Unix socket that we listen on. Which one it is tells whether the file there is still ours.
struct Server::SocketFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;

  void remove() const {
    struct stat found{};
    const bool is_ours = lstat(path.c_str(), &found) == 0 && found.st_dev == device && found.st_ino == inode;
    if (is_ours) unlink(path.c_str());
  }
};

// One I/O thread with its acceptors and sessions. Everything but figures and the drain hand-shake runs on that thread.
class Server::Lane {
 public:
  Lane(int index, const Options& options, Handler& handler, Places& places)
      : io_(index, options), handler_(handler), places_(places) {}

  IoThread& io() { return io_; }

  Result<Endpoint> bind(const Endpoint& address, bool shared) {
    boost::system::error_code error;
    Acceptor acceptor(io_.executor());
    acceptor.open(address.protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error && shared) {
      using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
      acceptor.set_option(ReusePort(true), error);
    }
    if (!error) acceptor.bind(address, error);
    if (!error) acceptor.listen(kBacklog, error);
    if (error) return cannot_listen(address, error);
    Endpoint bound = acceptor.local_endpoint(error);
    listeners_.push_back({.acceptor = std::move(acceptor)});
    return bound;
  }

  // A listening Unix socket cannot be bound twice, so the other lanes listen on a copy of the first one's descriptor.
  Result<void> share(int descriptor, const Endpoint& address) {
    const int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return cannot_listen(address, last_error());
    boost::system::error_code error;
    Acceptor acceptor(io_.executor());
    acceptor.assign(address.protocol(), copy, error);
    if (error) {
      close(copy);
      return cannot_listen(address, error);
    }
    listeners_.push_back({.acceptor = std::move(acceptor)});
    return {};
  }
  int last_descriptor() { return listeners_.back().acceptor.native_handle(); }

  void start() {
    start_accepting();
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), ("gbgreg-io" + std::to_string(io_.index())).c_str());
      run();
    });
  }

  void begin_drain() {
    asio::post(io_.executor(), [this] {
      drain_.draining = true;
      for (Listener& listener : listeners_) {
        boost::system::error_code ignored;
        listener.acceptor.close(ignored);
      }
      for (Session* session : sessions_) {
        if (session->idle()) session->close();
      }
    });
  }

  void end(SteadyTime until) {
    while (connections_.load() > 0 && std::chrono::steady_clock::now() < until) {
      std::unique_lock lock(gone_mutex_);
      gone_.wait_until(lock, std::min(until, std::chrono::steady_clock::now() + std::chrono::milliseconds{50}));
    }
    asio::post(io_.executor(), [this] {
      for (Session* session : sessions_) session->cancel_signal().emit(asio::cancellation_type::terminal);
      for (Session* session : sessions_) session->close();
      // One more round of the loop lets the sessions unwind before it stops.
      asio::post(io_.executor(), [this] { work_.reset(); });
    });
    join();
  }

  void join() {
    if (thread_.joinable()) thread_.join();
  }

  void add_figures(ServerFigures& figures) const {
    figures.connections += connections_.load(std::memory_order_acquire);
    figures.accepted += accepted_.load(std::memory_order_relaxed);
    figures.refused += refused_.load(std::memory_order_relaxed);
  }

 private:
  struct Listener {
    Acceptor acceptor;
    bool is_accepting = false;
  };

  // Lives as long as the task that accepts. When that is lost, the loop is left: only outside of it can the task be
  // begun again as often as it takes.
  class Accepting {
   public:
    Accepting(Lane& lane, Listener& listener) : lane_(lane), listener_(listener) { listener_.is_accepting = true; }
    ~Accepting() {
      listener_.is_accepting = false;
      if (!lane_.drain_.draining) lane_.io_.context().stop();
    }
    Accepting(const Accepting&) = delete;
    Accepting& operator=(const Accepting&) = delete;

   private:
    Lane& lane_;
    Listener& listener_;
  };

  // A session on the list, in its place. The handler of the session's end owns it, so that it goes however that end
  // comes: a task whose next wait cannot begin, because memory is short, is destroyed without a word (rounds.h).
  class Registered {
   public:
    Registered(Lane& lane, Places::Place place, std::shared_ptr<Session> session)
        : lane_(lane), place_(std::move(place)), session_(std::move(session)) {
      lane_.sessions_.insert(session_.get());
      lane_.connections_.fetch_add(1, std::memory_order_relaxed);
    }
    ~Registered() {
      session_->close();
      lane_.sessions_.erase(session_.get());
      // Whoever sees fewer connections may count on a place, also on a machine that keeps stores in no order.
      place_.reset();
      lane_.connections_.fetch_sub(1, std::memory_order_release);
      lane_.gone_.notify_one();
    }
    Registered(const Registered&) = delete;
    Registered& operator=(const Registered&) = delete;

   private:
    Lane& lane_;
    Places::Place place_;
    std::shared_ptr<Session> session_;
  };

  void run() {
    while (true) {
      try {
        if (is_accepting_lost()) {
          // Out of memory, most likely. Meanwhile the sessions go on.
          io_.context().restart();
          io_.context().run_for(kAcceptPause);
          io_.context().restart();
          start_accepting();
        }
        io_.context().run();
        if (!is_accepting_lost()) return;
      } catch (const std::exception& error) {
        // A bug of ours, or a lack of memory, ended one task; the thread and everybody else on it go on.
        spdlog::error("an exception reached the I/O loop: {}", error.what());
      }
    }
  }

  bool is_accepting_lost() const {
    return !drain_.draining &&
           std::ranges::any_of(listeners_, [](const Listener& listener) { return !listener.is_accepting; });
  }

  void start_accepting() {
    if (drain_.draining) return;
    for (Listener& listener : listeners_) {
      if (listener.is_accepting) continue;
      auto accepting = std::make_unique<Accepting>(*this, listener);
      spawn(io_.executor(), "accept", keep_accepting(listener.acceptor, std::move(accepting)));
    }
  }

  Task<void> keep_accepting(Acceptor& acceptor, std::unique_ptr<Accepting>) {
    auto accept_next = [this, &acceptor] { return accept(acceptor); };
    co_await run_rounds(io_.executor(), "accepting", kAcceptPause, std::move(accept_next));
  }

  Task<NextRound> accept(Acceptor& acceptor) {
    if (!acceptor.is_open()) co_return NextRound::never;
    Endpoint peer;
    Socket socket(io_.executor());
    auto [error] = co_await acceptor.async_accept(socket, peer, use_tuple);
    if (error == asio::error::operation_aborted || drain_.draining) co_return NextRound::never;
    if (error) {
      spdlog::warn("accepting a connection failed: {}", error.message());
      co_return NextRound::after_pause;
    }
    Places::Place place = places_.take();
    if (!place) {
      refuse(socket);
      co_return NextRound::at_once;
    }
    serve(std::move(socket), peer, std::move(place));
    accepted_.fetch_add(1, std::memory_order_relaxed);
    co_return NextRound::at_once;
  }

  // Says why, if that can be said without waiting. The socket closes as it goes out of scope.
  void refuse(Socket& socket) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    const std::string answer = no_place_answer(io_.http_date());
    ::send(socket.native_handle(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // Closing over bytes that nobody read would reset the connection, and the answer could be lost.
    std::array<char, 4096> request;
    (void)recv(socket.native_handle(), request.data(), request.size(), MSG_DONTWAIT);
  }

  void serve(Socket socket, const Endpoint& peer, Places::Place place) {
    set_no_delay(socket);
    std::string peer_text = peer_name(socket, peer);
    auto session = std::make_shared<Session>(io_, std::move(socket), std::move(peer_text), handler_, drain_);
    auto task = session->run();
    const auto cancellation = session->cancel_signal().slot();
    // Before it runs, so that no session runs that a drain would not find.
    auto registered = std::make_unique<Registered>(*this, std::move(place), std::move(session));
    auto ended = [registered = std::move(registered)](const std::exception_ptr& failure) { log_escaped(failure); };
    asio::co_spawn(io_.executor(), std::move(task), asio::bind_cancellation_slot(cancellation, std::move(ended)));
  }

  static void log_escaped(const std::exception_ptr& failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const boost::system::system_error& error) {
      if (error.code() != asio::error::operation_aborted) spdlog::error("a session failed: {}", error.what());
    } catch (const std::exception& error) {
      spdlog::error("a session failed: {}", error.what());
    }
  }

  IoThread io_;
  Handler& handler_;
  Places& places_;
  asio::executor_work_guard<Executor> work_{io_.executor()};
  std::list<Listener> listeners_;
  std::unordered_set<Session*> sessions_;
  DrainFlag drain_;
  std::atomic<int> connections_{0};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::mutex gone_mutex_;
  std::condition_variable gone_;
  std::thread thread_;
};

Server::Server(const Options& options, Handler& handler) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = options.threads > 0 ? options.threads : cores;
  places_ = std::make_unique<Places>(options.connections_max);
  for (int i = 0; i < threads; ++i) lanes_.push_back(std::make_unique<Lane>(i, options, handler, *places_));
}

Server::~Server() { stop(); }

Result<Endpoint> Server::listen(const Endpoint& address) {
  if (address.protocol().family() == AF_UNIX) return listen_unix(address);
  // With SO_REUSEPORT a second gateway of the same user would silently share the port: look first without it.
  {
    IoContext probe_context;
    Acceptor probe(probe_context.get_executor());
    boost::system::error_code error;
    probe.open(address.protocol(), error);
    if (!error) probe.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) probe.bind(address, error);
    if (!error) probe.listen(1, error);
    if (error) return cannot_listen(address, error);
  }
  Endpoint bound = address;
  for (auto& lane : lanes_) {
    auto result = lane->bind(bound, true);
    if (!result) return result;
    bound = *result;
  }
  return bound;
}

Result<Endpoint> Server::listen_unix(const Endpoint& address) {
  auto cleared = clear_stale_socket(address);
  if (!cleared) return std::unexpected(std::move(cleared.error()));
  auto bound = lanes_.front()->bind(address, false);
  if (!bound) return bound;
  SocketFile file{.path = path_of(address)};
  struct stat made{};
  if (lstat(file.path.c_str(), &made) == 0) {
    file.device = made.st_dev;
    file.inode = made.st_ino;
    socket_files_.push_back(std::move(file));
  }
  for (std::size_t i = 1; i < lanes_.size(); ++i) {
    auto shared = lanes_[i]->share(lanes_.front()->last_descriptor(), address);
    if (!shared) return std::unexpected(std::move(shared.error()));
  }
  return bound;
}

void Server::start() {
  for (auto& lane : lanes_) lane->start();
}

void Server::stop() {
  if (lanes_.empty()) return;
  for (const SocketFile& file : socket_files_) file.remove();
  socket_files_.clear();
  const SteadyTime until = std::chrono::steady_clock::now() + lanes_.front()->io().options().drain_timeout;
  for (auto& lane : lanes_) lane->begin_drain();
  for (auto& lane : lanes_) lane->end(until);
  lanes_.clear();
}

ServerFigures Server::figures() const {
  ServerFigures figures;
  for (const auto& lane : lanes_) lane->add_figures(figures);
  return figures;
}

}  // namespace gbgreg::net

#include "net/server.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/system/system_error.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "net/listening.h"
#include "net/rounds.h"
#include "net/session.h"

namespace gbgreg::net {
namespace {

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;

// When the process is out of descriptors, accepting again at once would spin.
constexpr std::chrono::milliseconds kAcceptPause{100};

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

// As Exchange::peer() says it.
std::string peer_name(Socket& socket, const Endpoint& peer) {
  if (peer.protocol().family() != AF_UNIX) return endpoint_text(peer).substr(std::string_view("http://").size());
  ucred peer_process{};
  socklen_t size = sizeof(peer_process);
  const bool is_known = getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer_process, &size) == 0;
  return "unix:" + (is_known ? std::to_string(peer_process.uid) : std::string("unknown"));
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

// One I/O thread with its acceptors and sessions. Everything but figures and the drain hand-shake runs on that thread.
class Server::Lane {
 public:
  Lane(int index, const Options& options, Handler& handler, Places& places)
      : io_(index, options), handler_(handler), places_(places) {}

  IoThread& io() { return io_; }

  // Accepts on a listening socket, which is its own from here on. Errors: unavailable.
  Result<void> listen_on(Descriptor listening, const Endpoint& address, const Certificates* certificates) {
    boost::system::error_code error;
    Acceptor acceptor(io_.executor());
    acceptor.assign(address.protocol(), listening.get(), error);
    if (error) return cannot_listen(address, error);
    listening.release();
    listeners_.push_back({.acceptor = std::move(acceptor), .certificates = certificates});
    return {};
  }

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
        if (session->idle()) session->close_idle();
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
    const Certificates* certificates = nullptr;  // Null when connections are plain.
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
      spawn(io_.executor(), "accept", keep_accepting(listener, std::move(accepting)));
    }
  }

  Task<void> keep_accepting(Listener& listener, std::unique_ptr<Accepting>) {
    auto accept_next = [this, &listener] { return accept(listener); };
    co_await run_rounds(io_.executor(), "accepting", kAcceptPause, std::move(accept_next));
  }

  Task<NextRound> accept(Listener& listener) {
    Acceptor& acceptor = listener.acceptor;
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
      refuse(socket, listener);
      co_return NextRound::at_once;
    }
    serve(std::move(socket), peer, std::move(place), listener.certificates);
    accepted_.fetch_add(1, std::memory_order_relaxed);
    co_return NextRound::at_once;
  }

  // Says why, if that can be said without waiting. The socket closes as it goes out of scope.
  void refuse(Socket& socket, const Listener& listener) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    if (listener.certificates != nullptr) return;  // It would not understand before a handshake.
    const std::string answer = no_place_answer(io_.http_date());
    ::send(socket.native_handle(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // Closing over bytes that nobody read would reset the connection, and the answer could be lost.
    std::array<char, 4096> request;
    (void)recv(socket.native_handle(), request.data(), request.size(), MSG_DONTWAIT);
  }

  void serve(Socket socket, const Endpoint& peer, Places::Place place, const Certificates* certificates) {
    set_no_delay(socket);
    std::string peer_text = peer_name(socket, peer);
    std::unique_ptr<TlsStream> tls;
    if (certificates != nullptr) tls = certificates->accept_on(socket.native_handle(), io_.options());
    auto session = std::make_shared<Session>(io_, std::move(socket), std::move(peer_text), handler_, drain_);
    session->secure_with(std::move(tls));
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

Result<Endpoint> Server::listen(const Endpoint& address, const Certificates* certificates) {
  if (address.protocol().family() == AF_UNIX) return listen_unix(address, certificates);
  // With SO_REUSEPORT a second gateway of the same user would silently share the port: look first without it.
  if (auto probe = open_listener(address, PortSharing::none); !probe) return std::unexpected(std::move(probe.error()));
  Endpoint bound = address;
  for (auto& lane : lanes_) {
    auto listening = open_listener(bound, PortSharing::among_threads);
    if (!listening) return std::unexpected(std::move(listening.error()));
    bound = local_endpoint(listening->get());
    auto added = lane->listen_on(std::move(*listening), bound, certificates);
    if (!added) return std::unexpected(std::move(added.error()));
  }
  return bound;
}

Result<Endpoint> Server::listen_unix(const Endpoint& address, const Certificates* certificates) {
  auto cleared = clear_stale_socket(address);
  if (!cleared) return std::unexpected(std::move(cleared.error()));
  auto listening = open_listener(address, PortSharing::none);
  if (!listening) return std::unexpected(std::move(listening.error()));
  if (auto file = SocketFile::of(address)) socket_files_.push_back(std::move(*file));
  return adopt(std::move(*listening), certificates);
}

Result<Endpoint> Server::adopt(Descriptor listening, const Certificates* certificates) {
  Endpoint address = local_endpoint(listening.get());
  for (auto& lane : lanes_) {
    auto copy = listening.copy();
    if (!copy) return cannot_listen(address, last_error());
    auto added = lane->listen_on(std::move(*copy), address, certificates);
    if (!added) return std::unexpected(std::move(added.error()));
  }
  return address;
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

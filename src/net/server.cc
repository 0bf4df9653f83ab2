#include "net/server.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "net/session.h"

namespace gbgreg::net {
namespace {

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

// When the process is out of descriptors, accepting again at once would spin.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr int kBacklog = 1024;

std::unexpected<Error> cannot_listen(const Endpoint& address, const boost::system::error_code& error) {
  const std::string text = endpoint_text(address);
  if (error == asio::error::address_in_use) {
    return fail(Kind::conflict, "address_in_use",
                text + " is taken by another program. Stop it, or choose another address with --listen.");
  }
  return fail(Kind::unavailable, "cannot_listen", "Cannot listen on " + text + ": " + error.message() + ".");
}

}  // namespace

// One I/O thread with its acceptors and sessions. Everything but figures and the drain hand-shake runs on that thread.
class Server::Lane {
 public:
  Lane(int index, const Options& options, Handler& handler, int connections_max)
      : io_(index, options), handler_(handler), connections_max_(connections_max) {}

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
    acceptors_.push_back(std::move(acceptor));
    return bound;
  }

  // A listening Unix socket cannot be bound twice, so the other lanes listen on a copy of the first one's descriptor.
  void share(int descriptor, const Endpoint& address) {
    Acceptor acceptor(io_.executor());
    acceptor.assign(address.protocol(), dup(descriptor));
    acceptors_.push_back(std::move(acceptor));
  }
  int last_descriptor() { return acceptors_.back().native_handle(); }

  void start() {
    for (Acceptor& acceptor : acceptors_) spawn(io_.executor(), "accept", accept(acceptor));
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), ("gbgreg-io" + std::to_string(io_.index())).c_str());
      run();
    });
  }

  void begin_drain() {
    asio::post(io_.executor(), [this] {
      drain_.draining = true;
      for (Acceptor& acceptor : acceptors_) {
        boost::system::error_code ignored;
        acceptor.close(ignored);
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
    figures.connections += connections_.load(std::memory_order_relaxed);
    figures.accepted += accepted_.load(std::memory_order_relaxed);
    figures.refused += refused_.load(std::memory_order_relaxed);
  }

 private:
  void run() {
    while (true) {
      try {
        io_.context().run();
        return;
      } catch (const std::exception& error) {
        // A bug of ours ended one task; the thread and everybody else on it go on.
        spdlog::error("an exception reached the I/O loop: {}", error.what());
      }
    }
  }

  Task<void> accept(Acceptor& acceptor) {
    Timer pause(io_.executor());
    while (acceptor.is_open()) {
      Endpoint peer;
      Socket socket(io_.executor());
      auto [error] = co_await acceptor.async_accept(socket, peer, use_tuple);
      if (error == asio::error::operation_aborted || drain_.draining) co_return;
      if (error) {
        spdlog::warn("accepting a connection failed: {}", error.message());
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(use_tuple);
        continue;
      }
      if (connections_.load(std::memory_order_relaxed) >= connections_max_) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        continue;  // The socket closes as it goes out of scope.
      }
      set_no_delay(socket);
      serve(std::move(socket), peer);
    }
  }

  void serve(Socket socket, const Endpoint& peer) {
    std::string peer_text = peer.protocol().family() == AF_UNIX ? "unix" : endpoint_text(peer).substr(7);
    auto session = std::make_shared<Session>(io_, std::move(socket), std::move(peer_text), handler_, drain_);
    sessions_.insert(session.get());
    connections_.fetch_add(1, std::memory_order_relaxed);
    accepted_.fetch_add(1, std::memory_order_relaxed);
    auto ended = [this, session](const std::exception_ptr& failure) {
      log_escaped(failure);
      session->close();
      sessions_.erase(session.get());
      connections_.fetch_sub(1, std::memory_order_relaxed);
      gone_.notify_one();
    };
    auto task = session->run();
    asio::co_spawn(io_.executor(), std::move(task),
                   asio::bind_cancellation_slot(session->cancel_signal().slot(), std::move(ended)));
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
  int connections_max_;
  asio::executor_work_guard<Executor> work_{io_.executor()};
  std::list<Acceptor> acceptors_;
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
  const int connections_max = std::max(1, options.connections_max / threads);
  for (int i = 0; i < threads; ++i) lanes_.push_back(std::make_unique<Lane>(i, options, handler, connections_max));
}

Server::~Server() { stop(); }

Result<Endpoint> Server::listen(const Endpoint& address) {
  if (address.protocol().family() == AF_UNIX) {
    const auto* unix_address = reinterpret_cast<const sockaddr_un*>(address.data());
    struct stat found{};
    if (stat(static_cast<const char*>(unix_address->sun_path), &found) == 0 && S_ISSOCK(found.st_mode)) {
      unlink(static_cast<const char*>(unix_address->sun_path));
    }
    auto bound = lanes_.front()->bind(address, false);
    if (!bound) return bound;
    for (std::size_t i = 1; i < lanes_.size(); ++i) lanes_[i]->share(lanes_.front()->last_descriptor(), address);
    return bound;
  }
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

void Server::start() {
  for (auto& lane : lanes_) lane->start();
}

void Server::stop() {
  if (lanes_.empty()) return;
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

IoThread& Server::any_thread() { return lanes_.front()->io(); }

}  // namespace gbgreg::net

#include "storage/answer_watch.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace gbgreg::storage {
namespace {

// How long ago something came; the longest there is where the kernel does not say, as of a Unix socket.
std::chrono::milliseconds silence_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::chrono::milliseconds::max();
  return std::chrono::milliseconds{info.tcpi_last_data_recv};
}

}  // namespace

AnswerWatch::AnswerWatch(std::chrono::milliseconds bound) : bound_(bound), thread_([this] { run(); }) {}

AnswerWatch::~AnswerWatch() {
  {
    const std::scoped_lock lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void AnswerWatch::begin(int socket) {
  bool is_asleep = false;
  {
    const std::scoped_lock lock(mutex_);
    asked_at_[socket] = Clock::now();
    is_asleep = std::exchange(is_asleep_, false);
  }
  if (is_asleep) changed_.notify_one();
}

void AnswerWatch::go_on(int socket) {
  const std::scoped_lock lock(mutex_);
  const auto watched = asked_at_.find(socket);
  if (watched != asked_at_.end()) watched->second = Clock::now();
}

void AnswerWatch::end(int socket) {
  const std::scoped_lock lock(mutex_);
  asked_at_.erase(socket);
}

void AnswerWatch::run() {
  ::pthread_setname_np(::pthread_self(), "answer-watch");
  constexpr int kLooks = 8;  // Within the bound, so that it is kept to an eighth.
  const auto between = std::max(std::chrono::milliseconds{1}, bound_ / kLooks);
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    if (asked_at_.empty()) {
      is_asleep_ = true;
      changed_.wait(lock, [this] { return !is_asleep_ || is_ending_; });
      continue;
    }
    changed_.wait_for(lock, between, [this] { return is_ending_; });
    cut_silent_ones();
  }
}

// Under the lock, so that nobody closes a socket meanwhile.
void AnswerWatch::cut_silent_ones() {
  const auto now = Clock::now();
  for (auto watched = asked_at_.begin(); watched != asked_at_.end();) {
    const bool is_silent = now - watched->second > bound_ && silence_of(watched->first) > bound_;
    if (is_silent) ::shutdown(watched->first, SHUT_RDWR);
    watched = is_silent ? asked_at_.erase(watched) : std::next(watched);
  }
}

}  // namespace gbgreg::storage

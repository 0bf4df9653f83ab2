// Cuts connections whose server does not answer: the calls of libpq that wait for an answer have no bound of their own,
// and a server that is stopped still has a kernel that says that all is well.
//
// A socket that is watched and has brought nothing for as long as the bound is shut down, whereupon whoever waits for
// it sees a connection that was lost. It is never closed here, so its number stays its owner's.
//
// Any thread may call it. One thread of its own, which sleeps as long as nothing is watched.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace gbgreg::storage {

class AnswerWatch {
 public:
  explicit AnswerWatch(std::chrono::milliseconds bound);
  ~AnswerWatch();
  AnswerWatch(const AnswerWatch&) = delete;
  AnswerWatch& operator=(const AnswerWatch&) = delete;

  void begin(int socket);
  // Something else is asked: it has the whole time. Nothing when it is not watched.
  void go_on(int socket);
  // Before the socket is closed.
  void end(int socket);

  class Watched {
   public:
    Watched(AnswerWatch& watch, int socket) : watch_(watch), socket_(socket) { watch_.begin(socket_); }
    ~Watched() { watch_.end(socket_); }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;

   private:
    AnswerWatch& watch_;
    int socket_;
  };

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void cut_silent_ones();

  const std::chrono::milliseconds bound_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, Clock::time_point> asked_at_;
  bool is_asleep_ = false;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace gbgreg::storage

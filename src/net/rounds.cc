#include "net/rounds.h"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>

namespace gbgreg::net {

Task<void> run_rounds(Executor executor, std::string name, std::chrono::milliseconds pause,
                      std::function<Task<NextRound>()> round) {
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  Timer timer(executor);
  NextRound next = NextRound::at_once;
  while (next != NextRound::never) {
    try {
      next = co_await round();
    } catch (const std::exception& error) {
      spdlog::error("{} failed and goes on after a pause: {}", name, error.what());
      next = NextRound::after_pause;
    }
    if (next != NextRound::after_pause) continue;
    timer.expires_after(pause);
    co_await timer.async_wait(use_tuple);
  }
}

}  // namespace gbgreg::net

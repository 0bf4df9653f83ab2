// Sends spans to a collector, by OTLP over HTTP, without anybody waiting for it: requests put theirs into a queue with
// a bound, and one thread posts them some times a second, many at a time. While the collector is away they wait, and
// what no place is left for is counted in gbgreg_spans_dropped_total, as is what the collector does not want.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/core.h"
#include "metrics/metrics.h"
#include "net/address.h"
#include "net/io_thread.h"
#include "traces/options.h"
#include "traces/span.h"

namespace gbgreg::traces {

class Exporter final : public SpanSink {
 public:
  // What became of spans.
  struct Counters {
    explicit Counters(metrics::Registry& registry);
    metrics::Counter& sent;
    metrics::Counter& dropped_full;
    metrics::Counter& dropped_refused;
    metrics::Counter& dropped_at_end;
  };

  // The counters outlive this.
  Exporter(const Options& options, net::Address collector, const Counters& counters, std::string version);
  // As stop().
  ~Exporter() override;
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;

  // Begins to send. Once.
  void start();
  // Sends what is left, as far as the collector takes it in the time of one post. Waits for that, and for no longer.
  void stop();

  void take(std::vector<Span> spans) override;

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  enum class Outcome : std::uint8_t { sent, refused, failed };

  Task<void> work();
  // All there is, or as much as the collector takes before it fails.
  Task<void> send_all();
  Task<Outcome> post();
  void take_batch();
  void tell(Outcome outcome, const std::string& why);

  const Options options_;
  const net::Address collector_;
  const Counters& counters_;
  const std::string version_;

  std::mutex mutex_;
  std::deque<Span> queue_;  // Guarded by mutex_.

  // Of its own thread alone.
  net::Options net_options_;
  net::IoThread io_;
  Timer timer_;
  std::vector<Span> batch_;
  SteadyTime stop_by_ = SteadyTime::max();  // Set when it is told to stop.
  bool is_away_ = false;

  std::thread thread_;
};

}  // namespace gbgreg::traces

// Counters, gauges and histograms, and their Prometheus text.
//
// A counter has one cell for each lane (an I/O thread, or the last lane for every other thread), each on its own cache
// line, so that counting never makes two cores wait for each other. Any thread may make a series, count and read; a
// series stays for good, so most are made before the threads start, and the others are few. Nothing that a client sends
// becomes a label.
//
// docs/metrics.md is the list of them all, and tests/metrics compares it with what there is.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gbgreg::metrics {

// The lane of threads that are not I/O threads.
inline constexpr int kOtherLane = -1;

class Counter {
 public:
  explicit Counter(int lanes) : cells_(static_cast<std::size_t>(lanes) + 1) {}
  void add(int lane, std::uint64_t amount = 1) {
    cells_[static_cast<std::size_t>(lane + 1)].value.fetch_add(amount, std::memory_order_relaxed);
  }
  std::uint64_t total() const;

 private:
  struct alignas(64) Cell {
    std::atomic<std::uint64_t> value{0};
  };
  std::vector<Cell> cells_;  // The first is kOtherLane's.
};

// What goes up and down; its cells likewise, so one may be below zero when what came on its lane goes on another.
class Gauge {
 public:
  explicit Gauge(int lanes) : cells_(static_cast<std::size_t>(lanes) + 1) {}
  void add(int lane, std::int64_t amount = 1) {
    cells_[static_cast<std::size_t>(lane + 1)].value.fetch_add(amount, std::memory_order_relaxed);
  }
  // Never below zero, though cells are read one after another.
  std::int64_t value() const;

 private:
  struct alignas(64) Cell {
    std::atomic<std::int64_t> value{0};
  };
  std::vector<Cell> cells_;
};

// Seconds, in buckets from 1 ms to 300 s.
class Histogram {
 public:
  static constexpr std::array<double, 18> kBounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                  1,     2,      3,     5,    10,    15,   30,  60,   300};
  explicit Histogram(int lanes);
  void observe(int lane, double seconds);

  struct Totals {
    std::array<std::uint64_t, kBounds.size() + 1> buckets{};  // Not yet cumulative; the last is +Inf.
    double sum_seconds = 0;
    std::uint64_t count = 0;
  };
  Totals totals() const;

 private:
  struct alignas(64) Cell {
    std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> buckets{};
    std::atomic<std::uint64_t> sum_microseconds{0};
  };
  std::vector<Cell> cells_;
};

// A sample of a family that is read when it is asked for: queue lengths, memory, worker states.
struct Sample {
  std::string labels;  // `role="technical",state="ready"`, or empty. Values escaped by label().
  double value = 0;
};

// `name="value"` with the value escaped.
std::string label(std::string_view name, std::string_view value);

// Whether a series stands in the text from the start, or only once it has counted something: for the many combinations
// of route and status, most of which never come.
enum class Shown : std::uint8_t { always, once_counted };

class Registry {
 public:
  // `lanes`: how many I/O threads will count.
  explicit Registry(int lanes) : lanes_(lanes) {}
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  int lanes() const { return lanes_; }

  // Counters, gauges and histograms of one name stand together in the text; help and name are those of the first call.
  // Labels of one name that come twice are a mistake of ours: std::logic_error.
  Counter& counter(std::string name, std::string help, std::string labels = {}, Shown shown = Shown::always);
  Gauge& gauge(std::string name, std::string help, std::string labels = {}, Shown shown = Shown::always);
  Histogram& histogram(std::string name, std::string help, std::string labels = {}, Shown shown = Shown::always);
  // `read` is called by whoever asks for the text, and makes no series.
  void sampled(std::string name, std::string help, std::string_view type, std::function<std::vector<Sample>()> read);

  // Prometheus text format 0.0.4.
  std::string prometheus_text() const;

 private:
  template <class Cells>
  struct Series {
    std::string labels;
    Shown shown = Shown::always;
    std::unique_ptr<Cells> cells;
  };
  struct Family {
    std::string name, help, type;
    std::vector<Series<Counter>> counters;
    std::vector<Series<Gauge>> gauges;
    std::vector<Series<Histogram>> histograms;
    std::function<std::vector<Sample>()> read;
  };
  // With the mutex held.
  Family& family(std::string name, std::string help, std::string_view type);

  int lanes_;
  mutable std::mutex mutex_;
  std::deque<Family> families_;  // Guarded by mutex_; their cells are not.
};

}  // namespace gbgreg::metrics

#include "traces/exporter.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "net/client.h"
#include "traces/otlp_json.h"

namespace gbgreg::traces {
namespace {

metrics::Counter& dropped(metrics::Registry& registry, std::string_view reason) {
  return registry.counter("gbgreg_spans_dropped_total", "Spans of traces that no collector got, by reason.",
                          metrics::label("reason", reason));
}

// Those that OTLP wants to be asked again.
bool is_for_now(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

}  // namespace

Exporter::Counters::Counters(metrics::Registry& registry)
    : sent(registry.counter("gbgreg_spans_sent_total", "Spans of traces that a collector took.")),
      dropped_full(dropped(registry, "queue_full")),
      dropped_refused(dropped(registry, "refused")),
      dropped_at_end(dropped(registry, "at_the_end")) {}

Exporter::Exporter(const Options& options, net::Address collector, const Counters& counters, std::string version)
    : options_(options),
      collector_(std::move(collector)),
      counters_(counters),
      version_(std::move(version)),
      io_(metrics::kOtherLane, net_options_),
      timer_(io_.executor()) {}

Exporter::~Exporter() { stop(); }

void Exporter::start() {
  spawn(io_.executor(), "send traces", work());
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "traces");
    io_.context().run();
  });
}

void Exporter::stop() {
  if (!thread_.joinable()) return;
  asio::post(io_.context(), [this] {
    stop_by_ = std::chrono::steady_clock::now() + options_.send_timeout;
    timer_.cancel();
  });
  thread_.join();
  const std::scoped_lock lock(mutex_);
  counters_.dropped_at_end.add(metrics::kOtherLane, batch_.size() + queue_.size());
  batch_.clear();
  queue_.clear();
}

void Exporter::take(std::vector<Span> spans) {
  {
    const std::scoped_lock lock(mutex_);
    if (queue_.size() + spans.size() <= options_.queued_max) {
      std::ranges::move(spans, std::back_inserter(queue_));
      return;
    }
  }
  counters_.dropped_full.add(metrics::kOtherLane, spans.size());
}

Task<void> Exporter::work() {
  while (stop_by_ == SteadyTime::max()) {
    timer_.expires_after(is_away_ ? options_.retry : options_.pause);
    co_await timer_.async_wait(use_tuple);
    co_await send_all();
  }
  io_.context().stop();  // Connections and deadlines would keep it going.
}

Task<void> Exporter::send_all() {
  for (take_batch(); !batch_.empty() && std::chrono::steady_clock::now() < stop_by_; take_batch()) {
    const Outcome outcome = co_await post();
    if (outcome == Outcome::failed) co_return;
    (outcome == Outcome::sent ? counters_.sent : counters_.dropped_refused).add(metrics::kOtherLane, batch_.size());
    batch_.clear();
  }
}

Task<Exporter::Outcome> Exporter::post() {
  const std::string body = write_otlp(batch_, options_.service, version_);
  const SteadyTime in_time = std::chrono::steady_clock::now() + options_.send_timeout;
  const net::ClientRequest request{.target = kTracesTarget, .body = body, .deadline = std::min(in_time, stop_by_)};
  auto answer = co_await net::send(io_, collector_, request);
  if (!answer) {
    tell(Outcome::failed, answer.error().message + " " + answer.error().detail);
    co_return Outcome::failed;
  }
  const int status = (*answer)->status();
  // Read to its end, so that the connection is of use for the next; what it says of spans it did not like is not read.
  (void)co_await (*answer)->read_all(options_.answer_bytes_max);
  const Outcome outcome = status >= 200 && status < 300 ? Outcome::sent
                          : is_for_now(status)          ? Outcome::failed
                                                        : Outcome::refused;
  tell(outcome, "status " + std::to_string(status));
  co_return outcome;
}

void Exporter::take_batch() {
  if (!batch_.empty()) return;  // The collector did not take it yet.
  const std::scoped_lock lock(mutex_);
  const auto count = static_cast<std::ptrdiff_t>(std::min(options_.batch_max, queue_.size()));
  batch_.reserve(static_cast<std::size_t>(count));
  std::move(queue_.begin(), queue_.begin() + count, std::back_inserter(batch_));
  queue_.erase(queue_.begin(), queue_.begin() + count);
}

// Once when it begins, and once when it ends.
void Exporter::tell(Outcome outcome, const std::string& why) {
  if (const bool was_away = std::exchange(is_away_, outcome != Outcome::sent); was_away == is_away_) return;
  if (is_away_) {
    spdlog::warn("traces: the collector at {} takes no spans: {}", options_.endpoint, why);
  } else {
    spdlog::info("traces: the collector takes spans again");
  }
}

}  // namespace gbgreg::traces

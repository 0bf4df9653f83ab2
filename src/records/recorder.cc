#include "records/recorder.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <span>

#include "core/utf8.h"
#include "records/upkeep.h"

namespace gbgreg::records {
namespace {

constexpr std::chrono::seconds kLookEvery{20};
// What comes late is still added to the sums of its minute for so long.
constexpr std::int64_t kMinutesOpen = 5 * 60;

constexpr const char* kDropped = "gbgreg_records_dropped_total";

std::int64_t seconds_since_1970(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// Rows that wait for the database are few, and there is a spool for them; so much is held at most when that is full.
constexpr std::size_t kWaitingMax = 65'536;

constexpr std::chrono::seconds kLateMax{1};

// For how long rows are written from the file in one round.
constexpr std::chrono::milliseconds kSpooledAtOnce{200};

// Of what was said, in the queue of one lane.
constexpr std::size_t kSaidBytesMax = 32 * 1024 * 1024;

}  // namespace

Recorder::Recorder(storage::RequestStore& rows, std::unique_ptr<Spool> spool, metrics::Registry& registry,
                   const Clock& clock, std::string writer, const RecorderOptions& options, std::unique_ptr<Texts> texts)
    : rows_(rows),
      spool_(std::move(spool)),
      texts_(std::move(texts)),
      clock_(clock),
      options_(options),
      written_(registry.counter("gbgreg_records_written_total", "Requests written to the database.")),
      dropped_(registry.counter(kDropped, "Requests of which there is no record, because there was no place for it.")),
      spooled_(registry.counter("gbgreg_records_spooled_total",
                                "Requests put into a file first, because the database did not answer.")),
      sums_(std::move(writer)) {
  queues_.reserve(static_cast<std::size_t>(registry.lanes()) + 1);
  for (int lane = metrics::kOtherLane; lane < registry.lanes(); ++lane) queues_.push_back(std::make_unique<Queue>());
  taken_.resize(queues_.size());
  registry.sampled(
      "gbgreg_records_spool_bytes", "Bytes of records that wait in a file for the database.", "gauge",
      [this] { return std::vector<metrics::Sample>{{.labels = {}, .value = static_cast<double>(spool_bytes_)}}; });
}

Recorder::~Recorder() { stop(); }

void Recorder::start() {
  thread_ = std::thread([this] { run(); });
}

void Recorder::stop() {
  {
    const std::scoped_lock lock(stop_mutex_);
    is_stopping_ = true;
  }
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  next_try_ = {};
  write_now();
}

void Recorder::record(int lane, Ended ended) {
  Queue& queue = *queues_[static_cast<std::size_t>(lane + 1)];
  {
    const std::scoped_lock lock(queue.mutex);
    Taken& taken = queue.taken;
    if (taken.rows.count() < options_.queue_max) {
      if (ended.said && taken.said_bytes + ended.said->bytes() > kSaidBytesMax) {
        ended.said.reset();
        if (texts_) texts_->drop(lane);
      }
      if (ended.said) {
        taken.said_bytes += ended.said->bytes();
        taken.said.emplace_back(taken.rows.count(), std::move(*ended.said));
      }
      taken.rows.add(ended.at, ended.row);
      return;
    }
  }
  dropped_.add(lane);
}

Recorder::Recent Recorder::recent(std::uint64_t since) const {
  const std::scoped_lock lock(recent_mutex_);
  const std::uint64_t oldest = recent_next_ - std::min<std::uint64_t>(recent_next_, options_.recent_max);
  Recent recent{.rows = {}, .next = recent_next_};
  const std::uint64_t from = std::clamp(since, oldest, recent_next_);
  recent.rows.reserve(recent_next_ - from);
  for (std::uint64_t i = from; i < recent_next_; ++i) recent.rows.push_back(recent_[i % options_.recent_max]);
  return recent;
}

void Recorder::run() {
  ::pthread_setname_np(::pthread_self(), "records");
  std::unique_lock lock(stop_mutex_);
  bool has_more = false;
  while (!is_stopping_) {
    if (!has_more) wake_.wait_for(lock, options_.pause, [this] { return is_stopping_; });
    lock.unlock();
    try {
      has_more = write_now();
    } catch (const std::exception& error) {
      spdlog::error("records: {}", error.what());
      has_more = false;
    }
    lock.lock();
  }
}

bool Recorder::write_now() {
  take_all();
  const SteadyTime now = clock_.steady();
  if (now >= next_try_) {
    write_waiting();
    if (waiting_.empty()) write_spooled();
    if (waiting_.empty() && !is_away_) write_texts();
  }
  if (!waiting_.empty()) spool_waiting();
  if (!is_away_ && now >= next_look_) {
    next_look_ = now + kLookEvery;
    look_after();
  }
  spool_bytes_ = spool_->size_bytes();
  return !spool_->is_empty() && !is_away_ && waiting_.empty();
}

void Recorder::Taken::clear() {
  rows.clear();
  said.clear();
  said_bytes = 0;
}

// In the order in which they ended, whichever lane they are of.
void Recorder::take_all() {
  struct Lane {
    LaneRows::Reader rows;
    std::size_t number = 0;
    std::size_t said = 0;
  };
  const std::size_t first = waiting_.size();
  std::vector<Lane> lanes;
  lanes.reserve(queues_.size());
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    taken_[i].clear();
    const std::scoped_lock lock(queues_[i]->mutex);
    std::swap(taken_[i], queues_[i]->taken);
    lanes.push_back({.rows = LaneRows::Reader(taken_[i].rows)});
  }
  for (;;) {
    std::size_t oldest = lanes.size();
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if (lanes[i].rows.is_done()) continue;
      if (oldest == lanes.size() || lanes[i].rows.ended() < lanes[oldest].rows.ended()) oldest = i;
    }
    if (oldest == lanes.size()) break;
    Lane& lane = lanes[oldest];
    const WallTime ended = lane.rows.ended();
    wait(ended, lane.rows.next());
    const auto& said = taken_[oldest].said;
    if (lane.said < said.size() && said[lane.said].first == lane.number) {
      if (texts_) texts_->add(waiting_.all().back().id, said[lane.said].second);
      ++lane.said;
    }
    ++lane.number;
  }
  publish(waiting_.all().subspan(first));
}

// What a lane put down a moment late counts as of the one before it, so that an id always says when its row ended: rows
// are looked for by both. A clock that was put back is believed.
void Recorder::wait(WallTime ended, const RowView& view) {
  if (ended < newest_ - kLateMax) {
    ids_ = {};
  } else {
    ended = std::max(ended, newest_);
  }
  newest_ = ended;
  const auto put = [](std::string& to, std::string_view text) {
    if (is_valid_utf8(text) && !text.contains('\0')) {
      to.assign(text);
    } else {
      to = to_valid_utf8(text);
    }
  };
  storage::RequestRow& row = waiting_.add();
  row.id = ids_.next(ended);
  row.created_at = rfc3339(ended);
  put(row.request_id, view.request_id);
  put(row.route, view.route);
  put(row.role, view.role);
  put(row.model, view.model);
  put(row.backend, view.backend);
  put(row.device, view.device);
  put(row.key_id, view.key_id);
  put(row.error_code, view.error_code);
  row.status = view.status;
  row.complexity = view.complexity;
  row.prompt_tokens = view.prompt_tokens;
  row.completion_tokens = view.completion_tokens;
  row.queue_ms = view.queue_ms;
  row.ttft_ms = view.ttft_ms;
  row.total_ms = view.total_ms;
  row.objective_ms = view.objective_ms;
}

void Recorder::publish(Rows rows) {
  const std::scoped_lock lock(recent_mutex_);
  recent_.resize(options_.recent_max);
  const std::size_t left_out = rows.size() - std::min(rows.size(), recent_.size());
  recent_next_ += left_out;
  for (const storage::RequestRow& row : rows.subspan(left_out)) recent_[recent_next_++ % recent_.size()] = row;
}

void Recorder::write_waiting() {
  const Rows rows = waiting_.all();
  std::size_t done = 0;
  while (done < rows.size()) {
    const std::size_t count = std::min(options_.batch_max, rows.size() - done);
    if (!write(rows.subspan(done, count))) break;
    done += count;
  }
  waiting_.drop_front(done);
}

// Rows and sums together. The sums are added up aside, for a transaction that fails must leave them as they were.
bool Recorder::write(Rows rows) {
  MinuteSums sums = sums_;
  for (const storage::RequestRow& row : rows) {
    const auto ended = parse_rfc3339(row.created_at);
    if (ended) sums.add(row, seconds_since_1970(*ended));
  }
  const auto written = rows_.write(rows, sums.changed(), now_seconds() - kMinuteSumsKept / 2);
  if (!written) {
    failed(written.error());
    return false;
  }
  sums.written();
  sums.forget_before(now_seconds() - kMinutesOpen);
  sums_ = std::move(sums);
  written_.add(metrics::kOtherLane, rows.size());
  if (is_away_) spdlog::info("the database takes records again");
  is_away_ = false;
  return true;
}

void Recorder::write_texts() {
  if (!texts_) return;
  if (const auto written = texts_->write(); !written) failed(written.error());
}

// Not all at once: what came of ten minutes takes a minute to write, and those who come meanwhile want to be taken,
// too.
void Recorder::write_spooled() {
  const SteadyTime until = clock_.steady() + kSpooledAtOnce;
  while (!spool_->is_empty() && clock_.steady() < until) {
    auto read = spool_->read();
    if (!read) return failed(read.error());
    if (read->damaged > 0) {
      spdlog::warn("{} damaged lines in the spool of records are left out", read->damaged);
      dropped_.add(metrics::kOtherLane, read->damaged);
    }
    std::vector<std::string> ids;
    ids.reserve(read->rows.size());
    for (const storage::RequestRow& row : read->rows) ids.push_back(row.id);
    const auto missing = rows_.missing(ids);
    if (!missing) return failed(missing.error());
    // Both are in the same order.
    auto next = missing->begin();
    std::erase_if(read->rows, [&](const storage::RequestRow& row) {
      const bool is_missing = next != missing->end() && *next == row.id;
      if (is_missing) ++next;
      return !is_missing;
    });
    if (!read->rows.empty() && !write(read->rows)) return;
    if (const auto advanced = spool_->advance(); !advanced) return failed(advanced.error());
  }
}

void Recorder::spool_waiting() {
  if (const auto appended = spool_->append(waiting_.all()); appended) {
    spooled_.add(metrics::kOtherLane, waiting_.size());
    waiting_.drop_front(waiting_.size());
    return;
  }
  if (waiting_.size() <= kWaitingMax) return;
  const std::size_t too_many = waiting_.size() - kWaitingMax;
  dropped_.add(metrics::kOtherLane, too_many);
  waiting_.drop_front(too_many);
}

void Recorder::failed(const Error& error) {
  next_try_ = clock_.steady() + options_.retry;
  if (std::exchange(is_away_, true)) return;
  spdlog::warn("records wait for the database: {} ({})", error.message, error.detail);
}

void Recorder::look_after() {
  const auto done = keep_up(rows_, clock_.wall(), options_.kept);
  if (texts_) {
    const auto gone = texts_->forget_before(clock_.wall() - options_.texts_kept);
    if (!gone) spdlog::warn("old texts are not removed: {} ({})", gone.error().message, gone.error().detail);
  }
  if (!done) spdlog::warn("the sums of records are not up to date: {} ({})", done.error().message, done.error().detail);
}

std::int64_t Recorder::now_seconds() const { return seconds_since_1970(clock_.wall()); }

}  // namespace gbgreg::records

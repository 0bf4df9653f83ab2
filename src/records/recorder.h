// Writes down what was asked, without anybody waiting for it: I/O threads put rows into queues of their own, and one
// thread writes them some times a second, many to a transaction. While the database is away they go to a file, and from
// there to the database when it is back. What no place is left for is counted, and said in the metrics.
//
// A process that is killed loses what came since the last round, a quarter of a second; nothing else.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/core.h"
#include "metrics/metrics.h"
#include "records/lane_rows.h"
#include "records/options.h"
#include "records/spool.h"
#include "records/sums.h"
#include "records/texts.h"
#include "storage/requests.h"

namespace gbgreg::records {

// A request that is over.
struct Ended {
  WallTime at;
  RowView row;
  std::optional<Said> said = {};
};

class Recorder {
 public:
  // `writer` is no other process's. Without `texts` nothing of what was said is kept.
  Recorder(storage::RequestStore& rows, std::unique_ptr<Spool> spool, metrics::Registry& registry, const Clock& clock,
           std::string writer, const RecorderOptions& options, std::unique_ptr<Texts> texts = nullptr);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Begins to write. Once.
  void start();
  // Writes what is left. After the last request.
  void stop();

  // On the thread of the lane, or of kOtherLane's any. Never waits.
  void record(int lane, Ended ended);

  // Whether what was said is to be kept.
  bool keeps_texts() const { return texts_ != nullptr; }

  // Those that came since, newest last, and the number to ask with next. What is too old by then is left out. Any
  // thread.
  struct Recent {
    std::vector<storage::RequestRow> rows;
    std::uint64_t next = 0;
  };
  Recent recent(std::uint64_t since) const;

  // Rows for which there was no place. Any thread.
  std::uint64_t dropped() const { return dropped_.total(); }

  // One round, for tests without the thread. True when there is more in the file that the database would take.
  bool write_now();

 private:
  using Rows = std::span<const storage::RequestRow>;
  struct Taken {
    LaneRows rows;
    std::vector<std::pair<std::size_t, Said>> said;  // And of which row it is.
    std::size_t said_bytes = 0;                      // In them.
    void clear();
  };
  struct alignas(64) Queue {
    std::mutex mutex;  // Held for a copy of one row, or by the writer for a swap.
    Taken taken;
  };

  void run();
  void take_all();
  void wait(WallTime ended, const RowView& view);
  void publish(Rows rows);
  void write_waiting();
  bool write(Rows rows);
  void write_texts();
  void write_spooled();
  void spool_waiting();
  void failed(const Error& error);
  void look_after();
  std::int64_t now_seconds() const;

  storage::RequestStore& rows_;
  const std::unique_ptr<Spool> spool_;
  const std::unique_ptr<Texts> texts_;
  const Clock& clock_;
  const RecorderOptions options_;
  metrics::Counter& written_;
  metrics::Counter& dropped_;
  metrics::Counter& spooled_;

  std::vector<std::unique_ptr<Queue>> queues_;  // The first is kOtherLane's.

  // Of the writing thread alone.
  MinuteSums sums_;
  std::vector<Taken> taken_;  // One of each queue.
  UuidSequence ids_;
  WallTime newest_{};  // When the last one ended that was taken.
  ReusedRows waiting_;
  bool is_away_ = false;
  SteadyTime next_try_{};
  SteadyTime next_look_{};
  std::atomic<std::uint64_t> spool_bytes_ = 0;  // Read by others.

  mutable std::mutex recent_mutex_;
  std::vector<storage::RequestRow> recent_;  // A ring, for the sake of the memory of its rows.
  std::uint64_t recent_next_ = 0;

  std::mutex stop_mutex_;
  std::condition_variable wake_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace gbgreg::records

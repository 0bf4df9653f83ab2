// What was said, on its way to the database; for the recorder, which gives it the ids of rows.
//
// Unlike rows they do not go to a file while the database is away: so much is held, and what does not fit is dropped
// and counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>

#include "core/core.h"
#include "metrics/metrics.h"
#include "records/said.h"
#include "storage/request_texts.h"

namespace gbgreg::records {

// One thread at a time.
class Texts {
 public:
  static constexpr std::size_t kWaitingBytesMax = 64 * 1024 * 1024;

  Texts(storage::RequestTextStore& store, metrics::Registry& registry);

  void add(std::string id, const Said& said);
  // On any thread: one that nobody had room for.
  void drop(int lane) { dropped_.add(lane); }
  // Errors: those of the database; what was not written waits.
  Result<void> write();
  // Does a bounded piece of work.
  Result<void> forget_before(WallTime time);

 private:
  storage::RequestTextStore& store_;
  metrics::Counter& dropped_;
  std::deque<storage::RequestTexts> waiting_;
  std::size_t waiting_bytes_ = 0;
};

}  // namespace gbgreg::records

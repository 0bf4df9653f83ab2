// What is on record of the requests that were answered: in sum, as a series, one by one, and as they come.
//
// Sums are read (records/sums.h) and never rows, so that it takes as long after ten million requests as after ten. What
// was answered is in them a quarter of a second later.
//
// Any I/O thread may call it. What blocks runs on the storage pool.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/core.h"
#include "records/recorder.h"
#include "records/sums.h"
#include "records/window.h"
#include "storage/request_texts.h"
#include "storage/requests.h"
#include "storage/uploads.h"

namespace gbgreg::services {

struct Summary {
  records::Period period;
  records::Sums sums;
  std::vector<storage::UploadsOfKind> uploads;
};

struct Series {
  records::Period period;
  std::int64_t bucket = 0;  // Seconds of a point.
  // By value of the dimension; then by the start of a bucket. Buckets without requests are left out.
  std::map<std::string, std::map<std::int64_t, records::Sum>> points;
};

struct OneRequest {
  storage::RequestRow row;
  std::optional<storage::RequestTexts> texts;  // Where they were kept.
};

class Analytics {
 public:
  // All outlive this.
  struct Stores {
    storage::RequestStore& requests;
    storage::RequestTextStore& texts;
    storage::UploadStore& uploads;
  };
  Analytics(asio::thread_pool& pool, const Stores& stores, const records::Recorder& recorder, const Clock& clock)
      : pool_(pool),
        requests_(stores.requests),
        texts_(stores.texts),
        uploads_(stores.uploads),
        recorder_(recorder),
        clock_(clock) {}

  // Errors: those of the database.
  Task<Result<Summary>> summary(records::Window window);
  // `dimension` is one of records::kDimensions.
  Task<Result<Series>> series(records::Window window, std::string dimension);
  // Errors: those of storage::RequestStore.
  Task<Result<storage::RequestPage>> requests(storage::RequestQuery query);
  // Errors: not_found (request_not_found).
  Task<Result<OneRequest>> request(std::string id);

  // Those that were answered since, for whoever watches.
  records::Recorder::Recent recent(std::uint64_t since) const { return recorder_.recent(since); }
  std::uint64_t dropped() const { return recorder_.dropped(); }

  // The blocking halves.
  Result<Summary> summary_now(const records::Window& window);
  Result<Series> series_now(const records::Window& window, const std::string& dimension);

 private:
  Result<std::vector<storage::RollupRow>> read(const records::Period& period, storage::RollupSpan largest,
                                               const std::string& dimension);

  asio::thread_pool& pool_;
  storage::RequestStore& requests_;
  storage::RequestTextStore& texts_;
  storage::UploadStore& uploads_;
  const records::Recorder& recorder_;
  const Clock& clock_;
};

}  // namespace gbgreg::services

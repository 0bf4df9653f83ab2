// What of a gateway keeps records and answers for them, joined as app.cc joins it, at a time of our choosing.
#pragma once

#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>

#include "core/core.h"
#include "house.h"
#include "metrics/metrics.h"
#include "records/recorder.h"
#include "services/analytics.h"
#include "storage/disk.h"
#include "storage/open.h"
#include "storage/requests.h"
#include "storage/uploads.h"

namespace gbgreg::bench {

// Stands where it is put until it is let go; from then on it goes as the real one does.
class Calendar final : public Clock {
 public:
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override {
    const WallTime put = put_;
    return is_going_ ? put + std::chrono::duration_cast<WallTime::duration>(steady() - let_go_.load()) : put;
  }
  void put(WallTime at) { put_ = at; }
  void let_go() {
    let_go_ = steady();
    is_going_ = true;
  }

 private:
  std::atomic<WallTime> put_{WallTime{}};
  std::atomic<SteadyTime> let_go_{SteadyTime{}};
  std::atomic<bool> is_going_ = false;
};

// The value, or the program's end with the reason.
template <class T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message + " " + result.error().detail);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Gateway {
 public:
  Gateway(const House& house, const Clock& clock)
      : options_(house.options()),
        reserve_(house.folder() / "reserve", disk_),
        database_(need(storage::open_database(options_, clock, reserve_))),
        uploads_(*database_, options_.list_limit_max),
        requests_(*database_),
        texts_(*database_) {
    auto spool = std::make_unique<records::Spool>(house.folder() / "records.spool", disk_,
                                                  records::RecorderOptions{}.spool_bytes_max);
    need(spool->open());
    recorder_ = std::make_unique<records::Recorder>(requests_, std::move(spool), registry_, clock, "live",
                                                    records::RecorderOptions{});
    analytics_ = std::make_unique<services::Analytics>(
        pool_, services::Analytics::Stores{.requests = requests_, .texts = texts_, .uploads = uploads_}, *recorder_,
        clock);
  }

  storage::Database& database() { return *database_; }
  storage::UploadStore& uploads() { return uploads_; }
  storage::RequestStore& requests() { return requests_; }
  records::Recorder& recorder() { return *recorder_; }
  services::Analytics& analytics() { return *analytics_; }

 private:
  storage::Options options_;
  storage::Disk disk_;
  storage::Reserve reserve_;
  std::unique_ptr<storage::Database> database_;
  storage::UploadStore uploads_;
  storage::RequestStore requests_;
  storage::RequestTextStore texts_;
  metrics::Registry registry_{1};
  asio::thread_pool pool_{1};
  std::unique_ptr<records::Recorder> recorder_;
  std::unique_ptr<services::Analytics> analytics_;
};

}  // namespace gbgreg::bench

// What I/O threads tell a worker about answers that went well, kept until the fleet's thread fetches it.
//
// A message for each answer would wake that thread each time; here the first report after a while does, and those that
// follow within kKeptFor are fetched with it. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "llm/llm.h"

namespace gbgreg::fleet {

// How long a request took that ended well.
struct TimesTaken {
  double slot_ms = 0;   // It held its slot for so long: what the next in line has to wait for.
  double total_ms = 0;  // Since it arrived, with waiting and failed attempts: what its client sees.
};

struct Report {
  std::uint64_t generation = 0;
  llm::Usage usage = {};
  TimesTaken times = {};
};

class ReportBox {
 public:
  static constexpr std::chrono::milliseconds kKeptFor{100};
  static constexpr std::size_t kReportsMax = 4096;  // Past it the newest are left out: the figures are samples anyway.

  // True when the fleet's thread does not know yet that there is something in it.
  bool add(const Report& report) {
    const std::lock_guard lock(mutex_);
    if (reports_.size() < kReportsMax) reports_.push_back(report);
    return !std::exchange(is_told_, true);
  }

  std::vector<Report> fetch() {
    const std::lock_guard lock(mutex_);
    is_told_ = false;
    return std::exchange(reports_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Report> reports_;
  bool is_told_ = false;
};

}  // namespace gbgreg::fleet

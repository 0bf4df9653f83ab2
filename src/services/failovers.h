// gbgreg_failovers_total: requests that another backend was asked for in the place of one that failed, by that one.
//
// A backend has its series from its first failover on, so those of a later configuration have theirs, too. Any thread.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "metrics/metrics.h"
#include "services/answer_figures.h"

namespace gbgreg::services {

class Failovers {
 public:
  // So many backends have series of their own; those that come later share that of "other".
  static constexpr std::size_t kBackendsMax = 512;

  // The registry outlives this.
  Failovers(metrics::Registry& registry, Work work);
  void count(int lane, std::string_view role, std::string_view from);

 private:
  metrics::Counter& make(std::string_view role, std::string_view from);

  metrics::Registry& registry_;
  const Work work_;
  metrics::Counter& other_;
  std::mutex mutex_;
  std::map<std::string, metrics::Counter*, std::less<>> by_backend_;  // By its id. Guarded by mutex_.
};

}  // namespace gbgreg::services

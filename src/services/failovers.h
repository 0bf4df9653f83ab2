// gbgreg_failovers_total: requests that another backend was asked for in the place of one that failed, by that one.
//
// Made once, from the fleet's picture, before the threads start; any thread counts.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "llm/llm.h"
#include "metrics/metrics.h"

namespace gbgreg::services {

class Failovers {
 public:
  // Of those of `backends` that embed, or that do not.
  Failovers(metrics::Registry& registry, std::span<const llm::BackendView> backends, bool embedding);
  void count(int lane, std::string_view from) const;

 private:
  std::map<std::string, metrics::Counter*, std::less<>> by_backend_;
};

}  // namespace gbgreg::services

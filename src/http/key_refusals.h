// gbgreg_key_refusals_total: requests that were turned away for the sake of their key, or for want of one, by reason.
// Never by key: there may be any number of those.
//
// Made once, before the threads start; any thread counts.
#pragma once

#include <map>
#include <string_view>

#include "core/core.h"
#include "metrics/metrics.h"

namespace gbgreg::http {

class KeyRefusals {
 public:
  explicit KeyRefusals(metrics::Registry& registry);
  // Whatever error a request ended with; most have nothing to do with keys.
  void count(int lane, const Error& error) const;

 private:
  std::map<std::string_view, metrics::Counter*> by_reason_;
};

}  // namespace gbgreg::http

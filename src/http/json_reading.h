// The bounds of JSON bodies, and the memory that all of them share: one object for all handlers.
#pragma once

#include <atomic>

#include "core/core.h"
#include "http/call.h"
#include "http/options.h"
#include "protocols/options.h"

namespace gbgreg::http {

class JsonReading {
 public:
  explicit JsonReading(const Options& options)
      : bytes_max_(options.json_bytes_max), budget_(options.json_bytes_held_max) {}

  protocols::Limits limits() const {
    return {.body_bytes_max = static_cast<std::size_t>(bytes_max_.load(std::memory_order_relaxed))};
  }
  // Of the bodies that are read from now on. Any thread.
  void set_bytes_max(std::uint64_t bytes_max) { bytes_max_.store(bytes_max, std::memory_order_relaxed); }
  // Errors: as read_json_body.
  Task<Result<JsonBody>> read(net::Exchange& exchange) {
    return read_json_body(exchange, bytes_max_.load(std::memory_order_relaxed), budget_);
  }

 private:
  std::atomic<std::uint64_t> bytes_max_;
  BodyBudget budget_;
};

}  // namespace gbgreg::http

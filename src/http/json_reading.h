// The bounds of JSON bodies, and the memory that all of them share: one object for all handlers.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/options.h"
#include "protocols/options.h"

namespace gbgreg::http {

class JsonReading {
 public:
  explicit JsonReading(const Options& options)
      : bytes_max_(options.json_bytes_max), budget_(options.json_bytes_held_max) {
    limits_.body_bytes_max = options.json_bytes_max;
  }

  const protocols::Limits& limits() const { return limits_; }
  // Errors: as read_json_body.
  Task<Result<JsonBody>> read(net::Exchange& exchange) { return read_json_body(exchange, bytes_max_, budget_); }

 private:
  std::uint64_t bytes_max_;
  BodyBudget budget_;
  protocols::Limits limits_;
};

}  // namespace gbgreg::http

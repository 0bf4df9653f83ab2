// GET /api/analytics/summary, /timeseries, /requests and /events: what is on record of requests. HTTP only; the story
// is services/analytics.h's.
//
// One object for all requests, called on every I/O thread.
#pragma once

#include <atomic>

#include "core/core.h"
#include "http/analytics_json.h"
#include "http/call.h"
#include "services/analytics.h"
#include "services/keys.h"

namespace gbgreg::http {

class AnalyticsHandlers {
 public:
  // Rows of one export; what is older is left out.
  static constexpr std::int64_t kCsvRowsMax = 1'000'000;

  AnalyticsHandlers(services::Analytics& analytics, services::Keys& keys) : analytics_(analytics), keys_(keys) {}

  // ?window=1h|24h|7d|30d
  Task<Result<void>> summary(Call& call);
  // ?metric&window&by
  Task<Result<void>> timeseries(Call& call);
  // ?limit&cursor&role&model&key&route&status, as JSON page by page; with format=csv all of them, newest first.
  Task<Result<void>> requests(Call& call);
  // One of them, with what was said where that is kept.
  Task<Result<void>> request(Call& call);
  // An event for each request as soon as it is on record, until the client leaves or give_up().
  Task<Result<void>> events(Call& call);

  // Ends the events of all who watch. Any thread.
  void give_up() { is_stopping_ = true; }

 private:
  Task<Result<KeyNames>> key_names();
  Task<Result<void>> export_csv(Call& call, storage::RequestQuery query);

  services::Analytics& analytics_;
  services::Keys& keys_;
  std::atomic<bool> is_stopping_ = false;
};

// Errors: malformed (limit_malformed, status_malformed, format_unknown, …).
Result<storage::RequestQuery> parse_request_query(std::string_view query);

}  // namespace gbgreg::http

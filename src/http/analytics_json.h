// What GET /api/analytics/… answers, from what services/analytics.h found. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "services/analytics.h"

namespace gbgreg::http {

// Names of keys by their ids, for people.
using KeyNames = std::map<std::string, std::string>;

std::string summary_json(std::string_view window, const services::Summary& summary, std::uint64_t dropped,
                         const KeyNames& names);

// A figure of a sum, such as "requests" or "total_p95".
class Metric {
 public:
  // Nothing for a name that is none of kNames.
  static std::optional<Metric> named(std::string_view name);
  static std::string names();  // "requests, errors, …"

  std::string_view name() const { return name_; }
  // Nothing where it cannot be told: no answer has no percentile.
  std::optional<double> of(const records::Sum& sum) const { return read_(sum); }
  // What it is where there was no request.
  std::optional<double> of_nothing() const { return read_({}); }

 private:
  using Read = std::optional<double> (*)(const records::Sum&);
  Metric(std::string_view name, Read read) : name_(name), read_(read) {}
  std::string_view name_;
  Read read_;
};

// Every bucket of the window has a point in every series. `by` is the dimension.
std::string series_json(std::string_view window, const Metric& metric, std::string_view by,
                        const services::Series& series, const KeyNames& names);

std::string request_json(const storage::RequestRow& row);
// {"request":{…},"prompt":…,"answer":…}, null where it was not kept.
std::string one_request_json(const services::OneRequest& one);
// {"requests":[…],"next_cursor":…}
std::string requests_json(const storage::RequestPage& page);

// A line each, as RFC 4180 has them. Text that a spreadsheet would take for a formula has an apostrophe before it.
std::string csv_head();
void append_csv(std::string& out, const storage::RequestRow& row);

}  // namespace gbgreg::http

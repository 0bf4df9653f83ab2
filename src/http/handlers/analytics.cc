#include "http/handlers/analytics.h"

#include <algorithm>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <limits>

#include "http/query.h"
#include "net/http_head.h"

namespace gbgreg::http {
namespace {

constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";
constexpr std::string_view kCsv = "text/csv; charset=utf-8";
constexpr std::string_view kDefaultWindow = "24h";
constexpr std::string_view kDefaultMetric = "requests";
// How soon a request is told after it is on record, and how long nothing is: proxies close what is silent for a minute.
constexpr std::chrono::milliseconds kLookEvery{250};
constexpr std::chrono::seconds kHeartbeatEvery{15};
constexpr std::string_view kHeartbeat = ": nothing new\n\n";

using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

Result<std::string> parameter(const Call& call, std::string_view name, std::string_view otherwise) {
  return query_text(call.exchange.head().query, name, otherwise);
}

Result<records::Window> read_window(const Call& call) {
  const auto name = parameter(call, "window", kDefaultWindow);
  if (!name) return std::unexpected(name.error());
  const auto window = records::window_named(*name);
  if (!window) return fail(Kind::malformed, "window_unknown", "window must be 1h, 24h, 7d or 30d.");
  return *window;
}

Result<Metric> read_metric(const Call& call) {
  const auto name = parameter(call, "metric", kDefaultMetric);
  if (!name) return std::unexpected(name.error());
  const auto metric = Metric::named(*name);
  if (!metric) return fail(Kind::malformed, "metric_unknown", "metric must be one of " + Metric::names() + ".");
  return *metric;
}

Result<std::string> read_dimension(const Call& call) {
  auto by = parameter(call, "by", "all");
  if (!by || std::ranges::find(records::kDimensions, *by) != records::kDimensions.end()) return by;
  return fail(Kind::malformed, "by_unknown", "by must be all, role, model, key, route, status or device.");
}

// "429", or "4xx" for all of that hundred.
Result<int> read_status(std::string_view text) {
  constexpr int kFirst = 100, kBehind = 600;
  constexpr std::size_t kDigits = 3;
  if (text.size() == kDigits && text.ends_with("xx") && text.front() >= '1' && text.front() <= '5') {
    return text.front() - '0';
  }
  const auto status = whole_number(text, "status");
  if (!status || *status < kFirst || *status >= kBehind) {
    return fail(Kind::malformed, "status_malformed", "status must be one of HTTP's, such as 429, or 4xx.");
  }
  return *status;
}

std::string events_of(const records::Recorder::Recent& recent) {
  std::string events;
  for (const storage::RequestRow& row : recent.rows) {
    events.append("event: request\ndata: ").append(request_json(row)).append("\n\n");
  }
  return events;
}

}  // namespace

Result<storage::RequestQuery> parse_request_query(std::string_view query) {
  storage::RequestQuery wanted;
  const auto take = [&](std::string_view name, const auto& use) -> Result<void> {
    const auto value = net::query_parameter(query, name);
    if (!value) return std::unexpected(value.error());
    if (!*value || (*value)->empty()) return {};
    return use(**value);
  };
  const auto text = [&](std::string_view name, std::string& field) {
    return take(name, [&](const std::string& value) -> Result<void> {
      field = value;
      return {};
    });
  };
  for (const auto& read : {text("cursor", wanted.cursor), text("role", wanted.role), text("model", wanted.model),
                           text("key", wanted.key_id), text("route", wanted.route)}) {
    if (!read) return std::unexpected(read.error());
  }
  const auto limit = take("limit", [&](const std::string& value) -> Result<void> {
    const auto read = whole_number(value, "limit");
    if (!read) return std::unexpected(read.error());
    wanted.limit = *read;
    return {};
  });
  if (!limit) return std::unexpected(limit.error());
  const auto status = take("status", [&](const std::string& value) -> Result<void> {
    const auto read = read_status(value);
    if (!read) return std::unexpected(read.error());
    wanted.status = *read;
    return {};
  });
  if (!status) return std::unexpected(status.error());
  return wanted;
}

Task<Result<KeyNames>> AnalyticsHandlers::key_names() {
  const auto all = co_await keys_.list();
  if (!all) co_return std::unexpected(all.error());
  KeyNames names;
  for (const services::ListedKey& key : *all) names[key.id] = key.name;
  co_return names;
}

Task<Result<void>> AnalyticsHandlers::summary(Call& call) {
  const auto window = read_window(call);
  if (!window) co_return std::unexpected(window.error());
  const auto summary = co_await analytics_.summary(*window);
  if (!summary) co_return std::unexpected(summary.error());
  const auto names = co_await key_names();
  if (!names) co_return std::unexpected(names.error());
  const std::string body = summary_json(window->name, *summary, analytics_.dropped(), *names);
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> AnalyticsHandlers::timeseries(Call& call) {
  const auto window = read_window(call);
  if (!window) co_return std::unexpected(window.error());
  const auto metric = read_metric(call);
  if (!metric) co_return std::unexpected(metric.error());
  const auto by = read_dimension(call);
  if (!by) co_return std::unexpected(by.error());
  const auto series = co_await analytics_.series(*window, *by);
  if (!series) co_return std::unexpected(series.error());
  KeyNames names;
  if (*by == "key") {
    auto known = co_await key_names();
    if (!known) co_return std::unexpected(std::move(known.error()));
    names = std::move(*known);
  }
  const std::string body = series_json(window->name, *metric, *by, *series, names);
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> AnalyticsHandlers::requests(Call& call) {
  auto query = parse_request_query(call.exchange.head().query);
  if (!query) co_return std::unexpected(std::move(query.error()));
  const auto format = parameter(call, "format", "json");
  if (!format) co_return std::unexpected(format.error());
  if (*format == "csv") co_return co_await export_csv(call, std::move(*query));
  if (*format != "json") co_return fail(Kind::malformed, "format_unknown", "format must be json or csv.");
  const auto page = co_await analytics_.requests(std::move(*query));
  if (!page) co_return std::unexpected(page.error());
  const std::string body = requests_json(*page);
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> AnalyticsHandlers::request(Call& call) {
  const auto one = co_await analytics_.request(call.parameter);
  if (!one) co_return std::unexpected(one.error());
  const std::string body = one_request_json(*one);
  net::HeaderFields fields{{.name = "Cache-Control", .value = "no-store"}};
  co_return co_await call.exchange.respond(200, kJson, body, std::move(fields));
}

Task<Result<void>> AnalyticsHandlers::export_csv(Call& call, storage::RequestQuery query) {
  net::Exchange& exchange = call.exchange;
  query.limit = storage::RequestStore::kListLimitMax;
  auto page = co_await analytics_.requests(query);  // Before the answer begins, so that an error can still be one.
  if (!page) co_return std::unexpected(std::move(page.error()));
  exchange.cancel_when_client_leaves();
  exchange.begin_stream(200, kCsv, {{.name = "Content-Disposition", .value = "attachment; filename=\"requests.csv\""}});
  if (exchange.head().method == "HEAD") co_return co_await exchange.finish();
  std::string lines = csv_head();
  for (std::int64_t rows = 0; rows < kCsvRowsMax;) {
    for (const storage::RequestRow& row : page->requests) append_csv(lines, row);
    rows += static_cast<std::int64_t>(page->requests.size());
    auto written = co_await exchange.write(lines);
    if (!written) co_return written;
    lines.clear();
    if (!page->next_cursor) break;
    query.cursor = *page->next_cursor;
    page = co_await analytics_.requests(query);
    if (!page) co_return std::unexpected(std::move(page.error()));
  }
  co_return co_await exchange.finish();
}

Task<Result<void>> AnalyticsHandlers::events(Call& call) {
  net::Exchange& exchange = call.exchange;
  // From now on: what was before is in the list.
  std::uint64_t next = analytics_.recent(std::numeric_limits<std::uint64_t>::max()).next;
  exchange.cancel_when_client_leaves();
  exchange.begin_stream(200, kEventStream, {{.name = "Cache-Control", .value = "no-cache"}});
  if (exchange.head().method == "HEAD") co_return co_await exchange.finish();

  Timer timer(co_await asio::this_coro::executor);
  std::string news(kHeartbeat);  // So that a client knows at once that it is listening.
  SteadyTime told = std::chrono::steady_clock::now();
  while (!is_stopping_) {
    if (!news.empty()) {
      auto written = co_await exchange.write(news);
      if (!written) co_return written;
      told = std::chrono::steady_clock::now();
    }
    timer.expires_after(kLookEvery);
    co_await timer.async_wait(use_task);
    const auto recent = analytics_.recent(next);
    next = recent.next;
    news = events_of(recent);
    if (news.empty() && std::chrono::steady_clock::now() - told >= kHeartbeatEvery) news = kHeartbeat;
  }
  co_return co_await exchange.finish();
}

}  // namespace gbgreg::http

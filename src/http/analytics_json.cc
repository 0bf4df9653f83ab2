#include "http/analytics_json.h"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "protocols/json_writer.h"

namespace gbgreg::http {
namespace {

using protocols::JsonWriter;
using records::Sum;
using storage::RequestRow;

constexpr double kMsPerSecond = 1000;
constexpr double kPercent = 100;

std::string time_text(std::int64_t seconds) { return rfc3339(WallTime{std::chrono::seconds(seconds)}); }

std::optional<double> tokens_per_second(const Sum& sum) {
  if (sum.generation_ms <= 0) return std::nullopt;
  return static_cast<double>(sum.completion_tokens) * kMsPerSecond / sum.generation_ms;
}

std::optional<double> objective_met_percent(const Sum& sum) {
  if (sum.with_objective == 0) return std::nullopt;
  return static_cast<double>(sum.objective_met) * kPercent / static_cast<double>(sum.with_objective);
}

void write_percentiles(JsonWriter& json, std::string_view name, const metrics::LatencySketch& sketch) {
  json.key(name).open_object();
  json.key("p50").rounded_or_null(sketch.percentile(0.50));
  json.key("p95").rounded_or_null(sketch.percentile(0.95));
  json.key("p99").rounded_or_null(sketch.percentile(0.99));
  json.close_object();
}

// The fields of a sum, in an object that is open.
void write_sum(JsonWriter& json, const Sum& sum) {
  json.key("requests").number(sum.requests);
  json.key("errors").number(sum.errors);
  json.key("prompt_tokens").number(sum.prompt_tokens);
  json.key("completion_tokens").number(sum.completion_tokens);
  json.key("tokens_per_second").rounded_or_null(tokens_per_second(sum));
  json.key("objective_met_percent").rounded_or_null(objective_met_percent(sum));
  write_percentiles(json, "queue_ms", sum.queue);
  write_percentiles(json, "first_token_ms", sum.ttft);
  write_percentiles(json, "total_ms", sum.total);
}

// A value of a dimension, and for a key its name as well.
void write_value(JsonWriter& json, std::string_view dimension, const std::string& value, const KeyNames& names) {
  json.key(dimension);
  if (dimension == "status") {
    json.raw(value);
  } else {
    json.text(value);
  }
  if (dimension != "key") return;
  json.key("name");
  const auto name = names.find(value);
  if (name == names.end()) return json.null();
  json.text(name->second);
}

void write_dimension(JsonWriter& json, std::string_view dimension, const records::Sums& sums, const KeyNames& names) {
  std::int64_t all = 0;
  for (const auto& [of, sum] : sums) {
    if (of.first == dimension) all += sum.requests;
  }
  json.key("by_" + std::string(dimension)).open_array();
  for (const auto& [of, sum] : sums) {
    if (of.first != dimension) continue;
    json.open_object();
    write_value(json, dimension, of.second, names);
    json.key("share_percent").rounded(static_cast<double>(sum.requests) * kPercent / static_cast<double>(all));
    write_sum(json, sum);
    json.close_object();
  }
  json.close_array();
}

void write_uploads(JsonWriter& json, const std::vector<storage::UploadsOfKind>& kinds) {
  std::int64_t files = 0, bytes = 0;
  for (const storage::UploadsOfKind& kind : kinds) {
    files += kind.count;
    bytes += kind.bytes;
  }
  json.key("uploads").open_object();
  json.key("files").number(files);
  json.key("bytes").number(bytes);
  json.key("by_kind").open_array();
  for (const storage::UploadsOfKind& kind : kinds) {
    json.open_object();
    json.key("kind").text(kind.kind);
    json.key("files").number(kind.count);
    json.key("bytes").number(kind.bytes);
    json.close_object();
  }
  json.close_array();
  json.close_object();
}

template <std::int64_t Sum::* Field>
std::optional<double> count(const Sum& sum) {
  return static_cast<double>(sum.*Field);
}

template <metrics::LatencySketch Sum::* Sketch, int Percent>
std::optional<double> percentile(const Sum& sum) {
  return (sum.*Sketch).percentile(Percent / kPercent);
}

constexpr std::pair<std::string_view, std::optional<double> (*)(const Sum&)> kMetrics[] = {
    {"requests", count<&Sum::requests>},
    {"errors", count<&Sum::errors>},
    {"prompt_tokens", count<&Sum::prompt_tokens>},
    {"completion_tokens", count<&Sum::completion_tokens>},
    {"tokens_per_second", tokens_per_second},
    {"objective_met_percent", objective_met_percent},
    {"queue_p50", percentile<&Sum::queue, 50>},
    {"queue_p95", percentile<&Sum::queue, 95>},
    {"queue_p99", percentile<&Sum::queue, 99>},
    {"first_token_p50", percentile<&Sum::ttft, 50>},
    {"first_token_p95", percentile<&Sum::ttft, 95>},
    {"first_token_p99", percentile<&Sum::ttft, 99>},
    {"total_p50", percentile<&Sum::total, 50>},
    {"total_p95", percentile<&Sum::total, 95>},
    {"total_p99", percentile<&Sum::total, 99>},
};

void append_csv_text(std::string& out, std::string_view text) {
  constexpr std::string_view kFormula = "=+-@\t\r";
  const bool is_formula = !text.empty() && kFormula.contains(text.front());
  const bool is_quoted = text.find_first_of(",\"\r\n") != std::string_view::npos;
  if (is_quoted) out += '"';
  if (is_formula) out += '\'';
  for (const char byte : text) {
    if (byte == '"') out += '"';
    out += byte;
  }
  if (is_quoted) out += '"';
}

// Milliseconds with three digits after the point.
void append_csv_number(std::string& out, double value) {
  constexpr double kDigits = 1000;
  JsonWriter(out).number(std::round(value * kDigits) / kDigits);
}

}  // namespace

std::string summary_json(std::string_view window, const services::Summary& summary, std::uint64_t dropped,
                         const KeyNames& names) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("window").text(window);
  json.key("from").text(time_text(summary.period.from));
  json.key("to").text(time_text(summary.period.to));
  const auto all = summary.sums.find({"all", ""});
  write_sum(json, all == summary.sums.end() ? Sum{} : all->second);
  for (const std::string_view dimension : records::kDimensions) {
    if (dimension != "all") write_dimension(json, dimension, summary.sums, names);
  }
  write_uploads(json, summary.uploads);
  json.key("not_recorded").number(static_cast<std::int64_t>(dropped));
  json.close_object();
  return out;
}

std::optional<Metric> Metric::named(std::string_view name) {
  for (const auto& [known, read] : kMetrics) {
    if (known == name) return Metric(known, read);
  }
  return std::nullopt;
}

std::string Metric::names() {
  std::string names;
  for (const auto& [name, read] : kMetrics) names.append(names.empty() ? "" : ", ").append(name);
  return names;
}

std::string series_json(std::string_view window, const Metric& metric, std::string_view by,
                        const services::Series& series, const KeyNames& names) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("window").text(window);
  json.key("metric").text(metric.name());
  json.key("by").text(by);
  json.key("from").text(time_text(series.period.from));
  json.key("to").text(time_text(series.period.to));
  json.key("bucket_seconds").number(series.bucket);
  json.key("series").open_array();
  for (const auto& [value, points] : series.points) {
    json.open_object();
    write_value(json, by, value, names);
    json.key("points").open_array();
    for (std::int64_t start = series.period.from; start < series.period.to; start += series.bucket) {
      const auto point = points.find(start);
      json.rounded_or_null(point == points.end() ? metric.of_nothing() : metric.of(point->second));
    }
    json.close_array();
    json.close_object();
  }
  json.close_array();
  json.close_object();
  return out;
}

std::string request_json(const RequestRow& row) {
  std::string out;
  JsonWriter json(out);
  const auto or_null = [&](std::string_view name, const std::string& text) {
    json.key(name);
    if (text.empty()) return json.null();
    json.text(text);
  };
  json.open_object();
  json.key("id").text(row.id);
  json.key("request_id").text(row.request_id);
  json.key("created_at").text(row.created_at);
  json.key("route").text(row.route);
  or_null("role", row.role);
  or_null("model", row.model);
  or_null("backend", row.backend);
  or_null("device", row.device);
  or_null("key_id", row.key_id);
  json.key("status").number(row.status);
  or_null("error_code", row.error_code);
  json.key("complexity").number_or_null(row.complexity > 0 ? std::optional(row.complexity) : std::nullopt);
  json.key("prompt_tokens").number(row.prompt_tokens);
  json.key("completion_tokens").number(row.completion_tokens);
  json.key("queue_ms").rounded(row.queue_ms);
  json.key("first_token_ms").rounded(row.ttft_ms);
  json.key("total_ms").rounded(row.total_ms);
  json.key("objective_ms").number_or_null(row.objective_ms > 0 ? std::optional(row.objective_ms) : std::nullopt);
  json.close_object();
  return out;
}

std::string one_request_json(const services::OneRequest& one) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("request").raw(request_json(one.row));
  const auto kept = [&](std::string_view name, std::string storage::RequestTexts::* text) {
    json.key(name);
    if (!one.texts) return json.null();
    json.text((*one.texts).*text);
  };
  kept("prompt", &storage::RequestTexts::prompt);
  kept("answer", &storage::RequestTexts::answer);
  json.close_object();
  return out;
}

std::string requests_json(const storage::RequestPage& page) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("requests").open_array();
  for (const RequestRow& row : page.requests) json.raw(request_json(row));
  json.close_array();
  json.key("next_cursor");
  if (page.next_cursor) {
    json.text(*page.next_cursor);
  } else {
    json.null();
  }
  json.close_object();
  return out;
}

std::string csv_head() {
  return "id,request_id,created_at,route,role,model,backend,device,key_id,status,error_code,complexity,prompt_tokens,"
         "completion_tokens,queue_ms,first_token_ms,total_ms,objective_ms\r\n";
}

void append_csv(std::string& out, const RequestRow& row) {
  for (const std::string* text : {&row.id, &row.request_id, &row.created_at, &row.route, &row.role, &row.model,
                                  &row.backend, &row.device, &row.key_id}) {
    append_csv_text(out, *text);
    out += ',';
  }
  out.append(std::to_string(row.status)) += ',';
  append_csv_text(out, row.error_code);
  for (const std::int64_t number : {row.complexity, row.prompt_tokens, row.completion_tokens}) {
    out.append(",").append(std::to_string(number));
  }
  for (const double milliseconds : {row.queue_ms, row.ttft_ms, row.total_ms}) {
    append_csv_number(out += ',', milliseconds);
  }
  out.append(",").append(std::to_string(row.objective_ms)).append("\r\n");
}

}  // namespace gbgreg::http

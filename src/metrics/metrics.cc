#include "metrics/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace gbgreg::metrics {
namespace {

void append_number(std::string& out, double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

void append_sample(std::string& out, std::string_view name, std::string_view labels, double value) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ");
  append_number(out, value);
  out.append("\n");
}

void append_histogram(std::string& out, const std::string& name, const std::string& labels,
                      const Histogram::Totals& totals) {
  const std::string comma = labels.empty() ? "" : ",";
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < totals.buckets.size(); ++i) {
    below += totals.buckets[i];
    std::string bound = "+Inf";
    if (i < Histogram::kBounds.size()) {
      bound.clear();
      append_number(bound, Histogram::kBounds[i]);
    }
    append_sample(out, name + "_bucket", labels + comma + label("le", bound), static_cast<double>(below));
  }
  append_sample(out, name + "_sum", labels, totals.sum_seconds);
  append_sample(out, name + "_count", labels, static_cast<double>(totals.count));
}

}  // namespace

std::uint64_t Counter::total() const {
  std::uint64_t total = 0;
  for (const Cell& cell : cells_) total += cell.value.load(std::memory_order_relaxed);
  return total;
}

std::int64_t Gauge::value() const {
  std::int64_t value = 0;
  for (const Cell& cell : cells_) value += cell.value.load(std::memory_order_relaxed);
  return std::max<std::int64_t>(0, value);
}

Histogram::Histogram(int lanes) : cells_(static_cast<std::size_t>(lanes) + 1) {}

void Histogram::observe(int lane, double seconds) {
  Cell& cell = cells_[static_cast<std::size_t>(lane + 1)];
  const auto bucket = std::ranges::lower_bound(kBounds, seconds) - kBounds.begin();
  cell.buckets[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  const double microseconds = std::max(0.0, seconds * 1e6);
  cell.sum_microseconds.fetch_add(static_cast<std::uint64_t>(microseconds), std::memory_order_relaxed);
}

Histogram::Totals Histogram::totals() const {
  Totals totals;
  std::uint64_t microseconds = 0;
  for (const Cell& cell : cells_) {
    for (std::size_t i = 0; i < totals.buckets.size(); ++i) {
      const std::uint64_t count = cell.buckets[i].load(std::memory_order_relaxed);
      totals.buckets[i] += count;
      totals.count += count;
    }
    microseconds += cell.sum_microseconds.load(std::memory_order_relaxed);
  }
  totals.sum_seconds = static_cast<double>(microseconds) / 1e6;
  return totals;
}

std::string label(std::string_view name, std::string_view value) {
  std::string text(name);
  text.append("=\"");
  for (const char c : value) {
    if (c == '\\' || c == '"') {
      text.push_back('\\');
      text.push_back(c);
    } else if (c == '\n') {
      text.append("\\n");
    } else {
      text.push_back(c);
    }
  }
  text.push_back('"');
  return text;
}

namespace {

// Prometheus drops or refuses a series that stands there twice.
void check_new(const auto& series, const std::string& name, const std::string& labels) {
  for (const auto& one : series) {
    if (one.labels == labels) throw std::logic_error("a series of " + name + " is made twice");
  }
}

}  // namespace

Registry::Family& Registry::family(std::string name, std::string help, std::string_view type) {
  for (Family& family : families_) {
    if (family.name == name) return family;
  }
  families_.push_back({.name = std::move(name),
                       .help = std::move(help),
                       .type = std::string(type),
                       .counters = {},
                       .gauges = {},
                       .histograms = {},
                       .read = {}});
  return families_.back();
}

Counter& Registry::counter(std::string name, std::string help, std::string labels, Shown shown) {
  const std::scoped_lock lock(mutex_);
  Family& owner = family(std::move(name), std::move(help), "counter");
  check_new(owner.counters, owner.name, labels);
  auto& counters = owner.counters;
  counters.push_back({.labels = std::move(labels), .shown = shown, .cells = std::make_unique<Counter>(lanes_)});
  return *counters.back().cells;
}

Gauge& Registry::gauge(std::string name, std::string help, std::string labels, Shown shown) {
  const std::scoped_lock lock(mutex_);
  Family& owner = family(std::move(name), std::move(help), "gauge");
  check_new(owner.gauges, owner.name, labels);
  auto& gauges = owner.gauges;
  gauges.push_back({.labels = std::move(labels), .shown = shown, .cells = std::make_unique<Gauge>(lanes_)});
  return *gauges.back().cells;
}

Histogram& Registry::histogram(std::string name, std::string help, std::string labels, Shown shown) {
  const std::scoped_lock lock(mutex_);
  Family& owner = family(std::move(name), std::move(help), "histogram");
  check_new(owner.histograms, owner.name, labels);
  auto& histograms = owner.histograms;
  histograms.push_back({.labels = std::move(labels), .shown = shown, .cells = std::make_unique<Histogram>(lanes_)});
  return *histograms.back().cells;
}

void Registry::sampled(std::string name, std::string help, std::string_view type,
                       std::function<std::vector<Sample>()> read) {
  const std::scoped_lock lock(mutex_);
  family(std::move(name), std::move(help), type).read = std::move(read);
}

std::string Registry::prometheus_text() const {
  std::string out;
  const std::scoped_lock lock(mutex_);
  for (const Family& family : families_) {
    out.append("# HELP ").append(family.name).append(" ").append(family.help).append("\n");
    out.append("# TYPE ").append(family.name).append(" ").append(family.type).append("\n");
    for (const auto& [labels, shown, counter] : family.counters) {
      const std::uint64_t total = counter->total();
      if (total > 0 || shown == Shown::always) append_sample(out, family.name, labels, static_cast<double>(total));
    }
    for (const auto& [labels, shown, gauge] : family.gauges) {
      const std::int64_t value = gauge->value();
      if (value > 0 || shown == Shown::always) append_sample(out, family.name, labels, static_cast<double>(value));
    }
    for (const auto& [labels, shown, histogram] : family.histograms) {
      const Histogram::Totals totals = histogram->totals();
      if (totals.count > 0 || shown == Shown::always) append_histogram(out, family.name, labels, totals);
    }
    if (!family.read) continue;
    for (const Sample& sample : family.read()) append_sample(out, family.name, sample.labels, sample.value);
  }
  return out;
}

}  // namespace gbgreg::metrics

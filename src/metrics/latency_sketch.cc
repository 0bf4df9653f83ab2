#include "metrics/latency_sketch.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gbgreg::metrics {
namespace {

const double kStep = std::log(LatencySketch::kGrowth);

std::size_t bucket_of(double ms) {
  // A time that is not a number counts as none at all.
  if (!(ms > LatencySketch::kShortestMs)) return 0;
  const double within = std::min(ms, LatencySketch::kLongestMs);
  return static_cast<std::size_t>(std::ceil(std::log(within / LatencySketch::kShortestMs) / kStep));
}

const std::size_t kBucketsMax = bucket_of(LatencySketch::kLongestMs) + 1;

// The middle of the bucket, by ratio.
double middle_of(std::size_t bucket) {
  if (bucket == 0) return LatencySketch::kShortestMs;
  return LatencySketch::kShortestMs * std::exp((static_cast<double>(bucket) - 0.5) * kStep);
}

template <class Number>
bool take_number(std::string_view& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

void LatencySketch::put(std::size_t bucket, std::uint64_t count) {
  if (count == 0) return;
  if (buckets_.size() <= bucket) buckets_.resize(bucket + 1);
  buckets_[bucket] += count;
  count_ += count;
}

void LatencySketch::add(double ms, std::uint64_t count) { put(bucket_of(ms), count); }

void LatencySketch::merge(const LatencySketch& other) {
  if (buckets_.size() < other.buckets_.size()) buckets_.resize(other.buckets_.size());
  for (std::size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
}

std::optional<double> LatencySketch::percentile(double share) const {
  if (count_ == 0) return std::nullopt;
  const double wanted = std::clamp(share, 0.0, 1.0) * static_cast<double>(count_);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    below += buckets_[i];
    if (buckets_[i] > 0 && static_cast<double>(below) >= wanted) return middle_of(i);
  }
  return middle_of(buckets_.size() - 1);
}

std::string LatencySketch::text() const {
  std::string text;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] == 0) continue;
    if (!text.empty()) text.push_back(' ');
    text.append(std::to_string(i)).append(":").append(std::to_string(buckets_[i]));
  }
  return text;
}

std::optional<LatencySketch> LatencySketch::read(std::string_view text) {
  LatencySketch sketch;
  if (!text.empty()) sketch.buckets_.reserve(kBucketsMax);  // Figures are put together from thousands of these.
  while (!text.empty()) {
    if (sketch.count_ > 0 && !take(text, ' ')) return std::nullopt;
    std::size_t bucket = 0;
    std::uint64_t count = 0;
    if (!take_number(text, bucket) || !take(text, ':') || !take_number(text, count)) return std::nullopt;
    if (bucket < sketch.buckets_.size() || bucket >= kBucketsMax || count == 0) return std::nullopt;
    sketch.put(bucket, count);
  }
  return sketch;
}

}  // namespace gbgreg::metrics

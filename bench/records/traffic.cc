#include "traffic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/ids.h"

namespace gbgreg::bench {
namespace {

struct Asked {
  const char* route;
  double weight;
  bool by_model;
};
constexpr Asked kRoutes[] = {{"POST /api/generate", 14, true},
                             {"POST /api/chat", 22, true},
                             {"POST /v1/chat/completions", 30, true},
                             {"POST /v1/messages", 8, true},
                             {"POST /v1/responses", 5, true},
                             {"POST /v1/completions", 1, true},
                             {"POST /v1/embeddings", 6, true},
                             {"POST /api/embed", 1, true},
                             {"GET /health", 3, false},
                             {"GET /v1/models", 2.5, false},
                             {"GET /api/tags", 2, false},
                             {"GET /api/ps", 1, false},
                             {"GET /api/version", 1, false},
                             {"POST /api/upload/file", 1, false},
                             {"POST /api/upload/screenshot", 0.6, false},
                             {"POST /api/upload/zip", 0.1, false},
                             {"GET /api/uploads", 0.9, false},
                             {"GET /api/uploads/{id}/content", 0.5, false},
                             {"GET /api/projects/{id}/files", 0.3, false},
                             {"DELETE /api/uploads/{id}", 0.1, false}};

struct Status {
  int status;
  double weight;
  const char* code;
};
constexpr Status kStatuses[] = {{200, 9'300, ""},
                                {400, 120, "invalid_request"},
                                {401, 60, "key_unknown"},
                                {404, 80, "model_not_found"},
                                {413, 5, "body_too_large"},
                                {429, 220, "rate_limited"},
                                {499, 160, "client_left"},
                                {500, 3, "internal"},
                                {502, 8, "upstream_failed"},
                                {503, 30, "queue_full"},
                                {504, 14, "timed_out"}};

struct Model {
  const char* role;
  const char* name;
  double weight;
  double tokens_per_second;
  int objective_ms;
};
constexpr Model kModels[] = {{"coordinator", "coordinator-1b", 20, 140, 3'000},
                             {"coordinator", "coordinator-3b", 12, 80, 3'000},
                             {"coordinator", "coordinator-3b-long", 2, 60, 3'000},
                             {"technical", "coder-7b", 22, 45, 20'000},
                             {"technical", "coder-14b", 12, 25, 20'000},
                             {"technical", "coder-32b", 4, 12, 20'000},
                             {"documentation", "writer-4b", 12, 70, 10'000},
                             {"documentation", "writer-8b", 6, 42, 10'000},
                             {"documentation", "writer-8b-de", 2, 42, 10'000},
                             {"vision", "eyes-4b", 6, 60, 0},
                             {"vision", "eyes-8b", 1.6, 35, 0},
                             {"vision", "eyes-12b", 0.4, 22, 0}};

constexpr double kForgottenKeyAsks = 40;  // In all, and only in the first day.
constexpr double kMinutesOfDay = 1'440;

template <class Each, class Weight>
std::vector<double> sums_of(const Each& each, Weight weight) {
  std::vector<double> sums;
  sums.reserve(std::size(each));
  double sum = 0;
  for (const auto& one : each) sums.push_back(sum += weight(one));
  return sums;
}

}  // namespace

std::string key_named(int number) {
  const std::string digits = std::to_string(number);
  return "0192f000-0000-7000-8000-" + std::string(12 - digits.size(), '0') + digits;
}

Traffic::Traffic(WallTime from, WallTime to, std::int64_t rows) : from_(from), rows_(rows) {
  routes_ = sums_of(kRoutes, [](const Asked& one) { return one.weight; });
  statuses_ = sums_of(kStatuses, [](const Status& one) { return one.weight; });
  models_ = sums_of(kModels, [](const Model& one) { return one.weight; });
  std::vector<int> keys(kKeys - 1);
  for (int i = 0; i < kKeys - 1; ++i) keys[static_cast<std::size_t>(i)] = i + 1;
  keys_ = sums_of(keys, [](int number) { return 1 / std::pow(number, 0.8); });
  const auto minutes = std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::minutes>(to - from).count());
  double sum = 0;
  minutes_.reserve(static_cast<std::size_t>(minutes));
  for (std::int64_t i = 0; i < minutes; ++i) {
    const double day = std::sin(2 * std::numbers::pi * static_cast<double>(i) / kMinutesOfDay);
    const bool is_weekend = i / static_cast<std::int64_t>(kMinutesOfDay) % 7 >= 5;
    minutes_.push_back(sum += (1 + 0.8 * day) * (is_weekend ? 0.4 : 1));
  }
  for (double& part : minutes_) part /= sum;
}

std::size_t Traffic::one_of(const std::vector<double>& sums) {
  const double at = std::uniform_real_distribution<double>(0, sums.back())(random_);
  const auto found = std::ranges::upper_bound(sums, at);
  return std::min(sums.size() - 1, static_cast<std::size_t>(found - sums.begin()));
}

void Traffic::begin_minute() {
  const auto behind = static_cast<std::int64_t>(std::llround(minutes_[minute_] * static_cast<double>(rows_)));
  for (std::int64_t i = given_; i < behind; ++i) moments_.push_back(static_cast<std::int64_t>(random_() % 60'000));
  std::ranges::sort(moments_, std::greater<>());
  ++minute_;
}

std::optional<storage::RequestRow> Traffic::next() {
  while (moments_.empty()) {
    if (minute_ == minutes_.size()) return std::nullopt;
    begin_minute();
  }
  const WallTime at = from_ + std::chrono::minutes(minute_ - 1) + std::chrono::milliseconds(moments_.back());
  moments_.pop_back();
  storage::RequestRow made = row();
  const bool is_first_day = minute_ <= static_cast<std::size_t>(kMinutesOfDay);
  const double day = static_cast<double>(rows_) / static_cast<double>(minutes_.size()) * kMinutesOfDay;
  const bool is_forgotten = is_first_day && static_cast<double>(random_() % 1'000'000) < kForgottenKeyAsks / day * 1e6;
  if (is_forgotten) made.key_id = key_named(kForgottenKey);
  // Two of the rare pair, after a quarter of all and after three quarters.
  if (given_ == rows_ / 4 || given_ == rows_ / 4 * 3) {
    made.role = kRareRole;
    made.model = "eyes-4b";
    made.status = kRareStatus;
  }
  ++given_;
  made.id = new_uuid(at);
  made.created_at = rfc3339(at);
  return made;
}

storage::RequestRow Traffic::row() {
  storage::RequestRow row;
  row.request_id = "0192f000-0000-7000-8000-" + std::to_string(100'000'000'000 + random_() % 900'000'000'000);
  const Asked& asked = kRoutes[one_of(routes_)];
  const Status& status = kStatuses[one_of(statuses_)];
  row.route = asked.route;
  row.status = status.status;
  row.error_code = status.code;
  row.key_id = key_named(static_cast<int>(one_of(keys_)) + 1);
  row.total_ms = std::exp(std::log(1.5) + normal());
  if (asked.by_model) answer(row);
  return row;
}

void Traffic::answer(storage::RequestRow& row) {
  const Model& model = kModels[one_of(models_)];
  row.role = model.role;
  row.complexity = 1 + static_cast<std::int64_t>(random_() % 5);
  row.objective_ms = model.objective_ms;
  if (row.role == kRareRole && row.status == kRareStatus) row.status = 502;
  // Those that were turned away never met a model.
  if (row.status == 400 || row.status == 401 || row.status == 404 || row.status == 413 || row.status == 429) return;
  row.model = model.name;
  row.backend = model.role;
  row.device = row.role == "coordinator" ? "CPU" : random_() % 8 == 0 ? "CUDA1" : "CUDA0";
  row.prompt_tokens = static_cast<std::int64_t>(std::exp(6 + 1.1 * normal()));
  row.queue_ms = random_() % 10 < 7 ? 0.05 : std::exp(4 + 1.3 * normal());
  row.ttft_ms = row.queue_ms + std::exp(std::log(120) + 0.7 * normal());
  row.total_ms = row.ttft_ms;
  if (row.status != 200) return;
  row.completion_tokens = 1 + static_cast<std::int64_t>(std::exp(4.7 + 0.9 * normal()));
  row.total_ms += static_cast<double>(row.completion_tokens) / model.tokens_per_second * 1'000;
}

}  // namespace gbgreg::bench

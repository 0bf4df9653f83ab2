#include "records/sums.h"

#include <algorithm>

namespace gbgreg::records {
namespace {

constexpr std::int64_t kMinute = 60;

bool is_answered_by_a_model(const storage::RequestRow& row) { return !row.model.empty() && row.status < 400; }

}  // namespace

void Sum::add(const storage::RequestRow& row) {
  ++requests;
  if (row.status >= 400) ++errors;
  prompt_tokens += row.prompt_tokens;
  completion_tokens += row.completion_tokens;
  if (!is_answered_by_a_model(row)) return;
  if (row.completion_tokens > 0) generation_ms += std::max(0.0, row.total_ms - row.ttft_ms);
  if (row.objective_ms > 0) {
    ++with_objective;
    if (row.total_ms <= static_cast<double>(row.objective_ms)) ++objective_met;
  }
  queue.add(row.queue_ms);
  ttft.add(row.ttft_ms);
  total.add(row.total_ms);
}

Result<void> Sum::add(const storage::RollupRow& row) {
  const auto more_queue = metrics::LatencySketch::read(row.queue), more_ttft = metrics::LatencySketch::read(row.ttft),
             more_total = metrics::LatencySketch::read(row.total);
  if (!more_queue || !more_ttft || !more_total) {
    return fail(Kind::internal, "rollup_unreadable", "A row of gbgreg_request_rollups cannot be read.",
                row.dimension + " " + row.value + " at " + std::to_string(row.start));
  }
  requests += row.requests;
  errors += row.errors;
  prompt_tokens += row.prompt_tokens;
  completion_tokens += row.completion_tokens;
  generation_ms += row.generation_ms;
  with_objective += row.with_objective;
  objective_met += row.objective_met;
  queue.merge(*more_queue);
  ttft.merge(*more_ttft);
  total.merge(*more_total);
  return {};
}

void Sum::add(const Sum& other) {
  requests += other.requests;
  errors += other.errors;
  prompt_tokens += other.prompt_tokens;
  completion_tokens += other.completion_tokens;
  generation_ms += other.generation_ms;
  with_objective += other.with_objective;
  objective_met += other.objective_met;
  queue.merge(other.queue);
  ttft.merge(other.ttft);
  total.merge(other.total);
}

storage::RollupRow Sum::row() const {
  return {.requests = requests,
          .errors = errors,
          .prompt_tokens = prompt_tokens,
          .completion_tokens = completion_tokens,
          .generation_ms = generation_ms,
          .with_objective = with_objective,
          .objective_met = objective_met,
          .queue = queue.text(),
          .ttft = ttft.text(),
          .total = total.text()};
}

std::vector<Of> counts_for(const storage::RequestRow& row) {
  std::vector<Of> of{{"all", ""}, {"route", row.route}, {"status", std::to_string(row.status)}};
  const std::pair<const char*, const std::string&> others[] = {
      {"role", row.role}, {"model", row.model}, {"key", row.key_id}, {"device", row.device}};
  for (const auto& [dimension, value] : others) {
    if (!value.empty()) of.emplace_back(dimension, value);
  }
  return of;
}

void MinuteSums::add(const storage::RequestRow& row, std::int64_t ended) {
  const std::int64_t start = ended - ended % kMinute;
  common_.assign(reinterpret_cast<const char*>(&start), sizeof start);
  common_.append(reinterpret_cast<const char*>(&row.status), sizeof row.status);
  // None of them holds a NUL.
  for (const std::string* text : {&row.route, &row.role, &row.model, &row.key_id, &row.device}) {
    common_.append(*text).push_back('\0');
  }
  auto at = alike_.find(common_);
  if (at == alike_.end()) {
    begin(start);
    at = alike_.emplace(common_, Alike{.start = start, .of = counts_for(row)}).first;
  }
  at->second.sum.add(row);
}

void MinuteSums::begin(std::int64_t start) {
  auto [at, is_new] = minutes_.try_emplace(start);
  if (is_new) at->second.writer = writer_ + "." + std::to_string(++begun_);
}

void MinuteSums::hand_out() {
  for (auto& [common, alike] : alike_) {
    Minute& minute = minutes_.at(alike.start);
    for (Of& of : alike.of) {
      minute.sums[of].add(alike.sum);
      minute.changed.insert(std::move(of));
    }
  }
  alike_.clear();
}

std::vector<storage::RollupRow> MinuteSums::changed() {
  hand_out();
  std::vector<storage::RollupRow> rows;
  for (const auto& [start, minute] : minutes_) {
    for (const Of& of : minute.changed) {
      storage::RollupRow& row = rows.emplace_back(minute.sums.at(of).row());
      row.span = storage::RollupSpan::minute;
      row.start = start;
      row.dimension = of.first;
      row.value = of.second;
      row.writer = minute.writer;
    }
  }
  return rows;
}

void MinuteSums::written() {
  for (auto& [start, minute] : minutes_) minute.changed.clear();
}

void MinuteSums::forget_before(std::int64_t start) {
  hand_out();
  std::erase_if(minutes_, [&](const auto& each) { return each.first < start && each.second.changed.empty(); });
}

}  // namespace gbgreg::records

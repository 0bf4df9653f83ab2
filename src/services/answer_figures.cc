#include "services/answer_figures.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace gbgreg::services {
namespace {

constexpr std::string_view kNone = "none";
constexpr std::string_view kOther = "other";

// The kinds that a request for a model ends with; any other is our own mistake.
constexpr std::array kFailures{Kind::cancelled,      Kind::malformed,   Kind::forbidden, Kind::not_found,
                               Kind::too_large,      Kind::refused,     Kind::busy,      Kind::internal,
                               Kind::backend_failed, Kind::unavailable, Kind::timed_out};
constexpr std::size_t kAnswered = kFailures.size();

std::size_t outcome_of(Kind kind) {
  const auto found = std::ranges::find(kFailures, kind);
  return static_cast<std::size_t>((found == kFailures.end() ? std::ranges::find(kFailures, Kind::internal) : found) -
                                  kFailures.begin());
}

std::string_view outcome_name(std::size_t outcome) {
  return outcome == kAnswered ? "answered" : kind_name(kFailures[outcome]);
}

std::uint64_t count_of(int number) { return static_cast<std::uint64_t>(std::max(0, number)); }

std::string key_of(std::string_view role, std::string_view model) {
  std::string key(role);
  key.append("/").append(model);  // No role has a slash.
  return key;
}

}  // namespace

struct AnswerFigures::Model {
  Model(metrics::Registry& registry, const std::string& labels);

  std::array<metrics::Counter*, kAnswered + 1> by_outcome{};
  metrics::Gauge& in_flight;
  metrics::Counter& prompt_tokens;
  metrics::Counter& completion_tokens;
  metrics::Counter& objective_met;
  metrics::Counter& objective_missed;
  metrics::Counter& retries;
  metrics::Histogram& queue;
  metrics::Histogram& first_token;
  metrics::Histogram& total;
};

AnswerFigures::Model::Model(metrics::Registry& registry, const std::string& labels)
    : in_flight(registry.gauge("gbgreg_model_requests_in_flight", "Requests for models that are not over.", labels)),
      prompt_tokens(registry.counter("gbgreg_prompt_tokens_total", "Prompt tokens that models have read.", labels)),
      completion_tokens(registry.counter("gbgreg_completion_tokens_total", "Tokens that models have written.", labels)),
      objective_met(registry.counter("gbgreg_objective_met_total",
                                     "Answers that took no longer than the objective of their role.", labels)),
      objective_missed(registry.counter("gbgreg_objective_missed_total",
                                        "Answers that took longer than the objective of their role.", labels)),
      retries(registry.counter("gbgreg_retries_total", "Requests given to a worker again after it failed.", labels)),
      queue(registry.histogram("gbgreg_queue_seconds", "Waiting for a slot of a model.", labels,
                               metrics::Shown::once_counted)),
      first_token(registry.histogram("gbgreg_first_token_seconds", "From the request to the first text of its answer.",
                                     labels, metrics::Shown::once_counted)),
      total(registry.histogram("gbgreg_answer_seconds", "From the request to the end of its answer.", labels,
                               metrics::Shown::once_counted)) {
  for (std::size_t outcome = 0; outcome < by_outcome.size(); ++outcome) {
    by_outcome[outcome] =
        &registry.counter("gbgreg_model_requests_total", "Requests for models that are over, by how they ended.",
                          labels + "," + metrics::label("outcome", outcome_name(outcome)),
                          outcome == kAnswered ? metrics::Shown::always : metrics::Shown::once_counted);
  }
}

AnswerFigures::AnswerFigures(metrics::Registry& registry, std::span<const llm::BackendView> backends, Work work)
    : registry_(registry), work_(word_of(work)) {
  for (const llm::BackendView& backend : backends) {
    if (backend.embeds == (work == Work::embedding)) of(backend.role, backend.model);
  }
  none_ = &of(kNone, kNone);
}

AnswerFigures::~AnswerFigures() = default;

AnswerFigures::Model& AnswerFigures::of(std::string_view role, std::string_view model) {
  const std::string key = key_of(role, model);
  {
    const std::shared_lock lock(mutex_);
    if (const auto found = models_.find(key); found != models_.end()) return *found->second;
  }
  const std::unique_lock lock(mutex_);
  if (const auto found = models_.find(key); found != models_.end()) return *found->second;
  if (models_.size() < kModelsMax) return make(role, model);
  const auto other = models_.find(key_of(kOther, kOther));
  return other == models_.end() ? make(kOther, kOther) : *other->second;
}

// With the mutex held.
AnswerFigures::Model& AnswerFigures::make(std::string_view role, std::string_view model) {
  const std::string labels =
      metrics::label("role", role) + "," + metrics::label("model", model) + "," + metrics::label("work", work_);
  auto made = std::make_unique<Model>(registry_, labels);
  return *models_.emplace(key_of(role, model), std::move(made)).first->second;
}

AnswerFigures::Request::Request(AnswerFigures& all, int lane) : all_(all), model_(all.none_), lane_(lane) {
  model_->in_flight.add(lane_);
}

AnswerFigures::Request::~Request() {
  if (!has_ended_) end(outcome_of(Kind::cancelled));
}

void AnswerFigures::Request::chosen(std::string_view role, std::string_view model) {
  Model& now = all_.of(role, model);
  if (&now == model_) return;
  model_->in_flight.add(lane_, -1);
  now.in_flight.add(lane_);
  model_ = &now;
}

void AnswerFigures::Request::placed(double queue_ms) { model_->queue.observe(lane_, queue_ms / 1000); }

void AnswerFigures::Request::retried() { model_->retries.add(lane_); }

void AnswerFigures::Request::answered(const llm::Usage& usage, const llm::AnswerNotes& notes) {
  model_->prompt_tokens.add(lane_, count_of(usage.prompt_tokens));
  model_->completion_tokens.add(lane_, count_of(usage.completion_tokens));
  model_->first_token.observe(lane_, notes.ttft_ms / 1000);
  model_->total.observe(lane_, notes.total_ms / 1000);
  if (notes.objective_ms > 0) {
    (notes.total_ms <= notes.objective_ms ? model_->objective_met : model_->objective_missed).add(lane_);
  }
  end(kAnswered);
}

void AnswerFigures::Request::asked_nothing() {
  if (!std::exchange(has_ended_, true)) model_->in_flight.add(lane_, -1);
}

Error AnswerFigures::Request::failed(Error error) {
  end(outcome_of(error.kind));
  return error;
}

void AnswerFigures::Request::end(std::size_t outcome) {
  if (std::exchange(has_ended_, true)) return;
  model_->by_outcome[outcome]->add(lane_);
  model_->in_flight.add(lane_, -1);
}

}  // namespace gbgreg::services

#include "services/generate.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "net/io_thread.h"
#include "routing/features.h"
#include "routing/policy.h"

namespace gbgreg::services {
namespace {

double milliseconds(SteadyTime from, SteadyTime to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// Passes the text on and notes when the first of it came.
class TimedSink final : public llm::Sink {
 public:
  TimedSink(AnswerSink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}

  Task<Result<void>> text(std::string_view piece) override {
    if (!first_at_) first_at_ = clock_.steady();
    return sink_.text(piece);
  }
  std::optional<SteadyTime> first_at() const { return first_at_; }

 private:
  AnswerSink& sink_;
  const Clock& clock_;
  std::optional<SteadyTime> first_at_;
};

bool is_workers_fault(Kind kind) { return kind == Kind::backend_failed || kind == Kind::unavailable; }

std::unexpected<Error> failed_again(const Error& last) {
  return fail(Kind::backend_failed, "backend_failed_again",
              "The model's server broke down over this request more than once, so it is not tried again. Change the "
              "request, or ask another model.",
              last.message + " " + last.detail);
}

}  // namespace

struct Generate::Chosen {
  llm::AnswerNotes notes;
  bool was_ready = false;
};

// A request that has a slot, and what is known of its answer by then.
struct Generate::Placed {
  SteadyTime arrived;
  SteadyTime leased;
  fleet::Lease lease;
  Answer answer = {};
};

Generate::Generate(fleet::Fleet& fleet, metrics::Registry& registry, const Clock& clock, const GenerateOptions& options)
    : fleet_(fleet),
      clock_(clock),
      options_(options),
      prompt_tokens_(registry.counter("gbgreg_prompt_tokens_total", "Prompt tokens that models have read.")),
      completion_tokens_(registry.counter("gbgreg_completion_tokens_total", "Tokens that models have written.")),
      retries_(registry.counter("gbgreg_retries_total", "Requests given to a worker again after it failed.")),
      first_token_(
          registry.histogram("gbgreg_first_token_seconds", "From the request to the first text of its answer.")) {}

Result<llm::Decision> Generate::decide(const llm::Request& request) const {
  const auto backends = fleet_.snapshot();
  return routing::choose(routing::read_features(request), request.model, *backends);
}

Result<Generate::Chosen> Generate::choose(const llm::Request& request) const {
  const auto backends = fleet_.snapshot();
  auto decision = routing::choose(routing::read_features(request), request.model, *backends);
  if (!decision) return std::unexpected(std::move(decision.error()));
  Chosen chosen;
  chosen.notes = {.request_id = request.id,
                  .role = decision->role,
                  .model = decision->model,
                  .backend = decision->backend,
                  .device = "unknown",
                  .complexity = decision->complexity,
                  .reason = decision->reason,
                  .ignored_options = request.ignored_options};
  const auto view = std::ranges::find(*backends, decision->backend, &llm::BackendView::id);
  if (view != backends->end()) {
    chosen.notes.device = view->placement.device;
    chosen.was_ready = view->state == llm::BackendState::ready;
  }
  return chosen;
}

Task<Result<Answer>> Generate::answer(net::IoThread& io, llm::Request request, AnswerSink& sink) {
  const SteadyTime arrived = clock_.steady();
  const auto allowed = request.deadline_ms ? std::chrono::milliseconds{*request.deadline_ms} : options_.request_timeout;
  request.deadline = arrived + allowed;

  int failures = 0;
  for (int attempts = 1;; ++attempts) {
    // What routing and the fleet say is final: they have waited for whatever can be waited for.
    auto placed = co_await place(request, arrived, attempts == 1 ? fleet::Attempt::first : fleet::Attempt::retry);
    if (!placed) co_return std::unexpected(std::move(placed.error()));
    auto answer = co_await attempt(io, request, *placed, sink);
    if (answer) co_return answer;

    const Error& error = answer.error();
    // A deadline that passed says something about the request, and nothing about the worker.
    const bool is_late = clock_.steady() >= request.deadline;
    if (is_workers_fault(error.kind) || (error.kind == Kind::timed_out && !is_late)) {
      if (attempts == 1) placed->lease.report_failure();
      if (attempts > 1) placed->lease.report_repeated_failure();
    }
    if (!is_workers_fault(error.kind) || is_late || !sink.start_over()) co_return answer;
    if (error.kind == Kind::backend_failed && ++failures >= options_.failures_max) co_return failed_again(error);
    if (attempts >= options_.attempts_max) co_return answer;
    retries_.add(io.index());
    spdlog::warn("request {}: {} ({}); trying again", request.id, error.message, error.detail);
  }
}

Task<Result<Generate::Placed>> Generate::place(const llm::Request& request, SteadyTime arrived,
                                               fleet::Attempt attempt) {
  auto chosen = choose(request);
  if (!chosen) co_return std::unexpected(std::move(chosen.error()));
  // Not since it arrived: what an earlier attempt took was neither waiting nor loading.
  const SteadyTime asked = clock_.steady();
  auto lease = co_await fleet_.lease(chosen->notes.backend, request.priority, request.deadline, attempt);
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  const SteadyTime leased = clock_.steady();
  Placed placed{.arrived = arrived, .leased = leased, .lease = std::move(*lease)};
  placed.answer.notes = std::move(chosen->notes);
  placed.answer.notes.queue_ms = milliseconds(asked, leased);
  if (!chosen->was_ready) placed.answer.load = leased - asked;
  co_return placed;
}

Task<Result<Answer>> Generate::attempt(net::IoThread& io, const llm::Request& request, Placed& placed,
                                       AnswerSink& sink) {
  Answer answer = std::move(placed.answer);
  sink.chosen(answer.notes);
  TimedSink timed(sink, clock_);
  auto completion = co_await placed.lease.backend().generate(io, request, timed);
  if (!completion) co_return std::unexpected(std::move(completion.error()));

  const SteadyTime ended = clock_.steady();
  const SteadyTime first_at = timed.first_at().value_or(ended);
  answer.completion = *completion;
  answer.notes.ttft_ms = milliseconds(placed.arrived, first_at);
  answer.notes.total_ms = milliseconds(placed.arrived, ended);
  answer.notes.kept_tokens = completion->usage.prompt_tokens;
  const fleet::TimesTaken times{.slot_ms = milliseconds(placed.leased, ended), .total_ms = answer.notes.total_ms};
  placed.lease.report_success(completion->usage, times);
  prompt_tokens_.add(io.index(), static_cast<std::uint64_t>(std::max(0, completion->usage.prompt_tokens)));
  completion_tokens_.add(io.index(), static_cast<std::uint64_t>(std::max(0, completion->usage.completion_tokens)));
  first_token_.observe(io.index(), answer.notes.ttft_ms / 1000);
  co_return answer;
}

Task<Result<Answer>> Generate::load(llm::Request request) {
  const SteadyTime arrived = clock_.steady();
  const auto allowed = request.deadline_ms ? std::chrono::milliseconds{*request.deadline_ms} : options_.request_timeout;
  auto chosen = choose(request);
  if (!chosen) co_return std::unexpected(std::move(chosen.error()));
  Answer answer;
  answer.notes = std::move(chosen->notes);
  auto lease = co_await fleet_.lease(answer.notes.backend, request.priority, arrived + allowed);
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  answer.load = clock_.steady() - arrived;
  answer.notes.total_ms = milliseconds(arrived, clock_.steady());
  co_return answer;
}

}  // namespace gbgreg::services

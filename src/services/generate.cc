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

}  // namespace

// How a request is put to a backend and its answer handed on: in the hub's words, or in the backend's own.
class Generate::Speaker {
 public:
  virtual ~Speaker() = default;
  virtual void chosen(const llm::AnswerNotes& notes) = 0;
  virtual bool start_over() = 0;
  virtual Task<Result<llm::Completion>> speak(net::IoThread& io, const llm::Request& request,
                                              backends::Backend& backend) = 0;
  // When the first of this attempt's answer came.
  std::optional<SteadyTime> first_at() const { return first_at_; }
  void begin_attempt() { first_at_.reset(); }

 protected:
  void something_came(const Clock& clock) {
    if (!first_at_) first_at_ = clock.steady();
  }

 private:
  std::optional<SteadyTime> first_at_;
};

class Generate::Speaking final : public Speaker, private llm::Sink {
 public:
  Speaking(AnswerSink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}
  void chosen(const llm::AnswerNotes& notes) override { sink_.chosen(notes); }
  bool start_over() override { return sink_.start_over(); }
  Task<Result<llm::Completion>> speak(net::IoThread& io, const llm::Request& request,
                                      backends::Backend& backend) override {
    return backend.generate(io, request, *this);
  }

 private:
  Task<Result<void>> delta(const llm::Delta& piece) override {
    something_came(clock_);
    return sink_.delta(piece);
  }

  AnswerSink& sink_;
  const Clock& clock_;
};

class Generate::Relaying final : public Speaker, private backends::ByteSink {
 public:
  Relaying(RelaySink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}
  void chosen(const llm::AnswerNotes& notes) override { sink_.chosen(notes); }
  bool start_over() override { return sink_.start_over(); }
  Task<Result<llm::Completion>> speak(net::IoThread& io, const llm::Request& request,
                                      backends::Backend& backend) override {
    backends::Post post = sink_.post();
    post.deadline = request.deadline;
    auto posted = co_await backend.post(io, post, *this);
    if (!posted) co_return std::unexpected(std::move(posted.error()));
    co_return sink_.end();
  }

 private:
  Task<Result<void>> bytes(std::string_view piece) override {
    something_came(clock_);
    return sink_.bytes(piece);
  }

  RelaySink& sink_;
  const Clock& clock_;
};

struct Generate::Chosen {
  llm::AnswerNotes notes;
  bool was_ready = false;
};

// A request that has a slot, and what is known of its answer by then.
struct Generate::Placed {
  SteadyTime arrived;
  SteadyTime leased;
  fleet::Lease lease;
  llm::Answer answer = {};
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
  return routing::choose(routing::read_features(request), request.model, fleet_.views());
}

Result<Generate::Chosen> Generate::choose(const llm::Request& request) const {
  const auto backends = fleet_.snapshot();
  auto decision = routing::choose(routing::read_features(request), request.model, *backends, routing::Detail::brief);
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

std::chrono::milliseconds Generate::allowed_for(const llm::Request& request) const {
  return request.deadline_ms ? std::chrono::milliseconds{*request.deadline_ms} : options_.request_timeout;
}

Task<Result<llm::Answer>> Generate::answer(net::IoThread& io, llm::Request request, AnswerSink& sink) {
  Speaking speaking(sink, clock_);
  co_return co_await run(io, std::move(request), speaking);
}

Task<Result<llm::Answer>> Generate::relay(net::IoThread& io, llm::Request request, RelaySink& sink) {
  Relaying relaying(sink, clock_);
  co_return co_await run(io, std::move(request), relaying);
}

Task<Result<llm::Answer>> Generate::run(net::IoThread& io, llm::Request request, Speaker& speaker) {
  const SteadyTime arrived = clock_.steady();
  request.deadline = arrived + allowed_for(request);

  Attempts attempts(options_.attempts, clock_, request.deadline);
  for (;;) {
    // What routing and the fleet say is final: they have waited for whatever can be waited for.
    auto placed = co_await place(request, arrived, attempts.begin());
    if (!placed) co_return std::unexpected(std::move(placed.error()));
    auto answer = co_await attempt(io, request, *placed, speaker);
    if (answer) co_return answer;

    const Error& error = answer.error();
    if (!attempts.failed(error, placed->lease) || !speaker.start_over()) co_return answer;
    if (auto last = attempts.give_up(error)) co_return std::unexpected(std::move(*last));
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

Task<Result<llm::Answer>> Generate::attempt(net::IoThread& io, const llm::Request& request, Placed& placed,
                                            Speaker& speaker) {
  llm::Answer answer = std::move(placed.answer);
  speaker.begin_attempt();
  speaker.chosen(answer.notes);
  auto completion = co_await speaker.speak(io, request, placed.lease.backend());
  if (!completion) co_return std::unexpected(std::move(completion.error()));

  const SteadyTime ended = clock_.steady();
  const SteadyTime first_at = speaker.first_at().value_or(ended);
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

Task<Result<int>> Generate::count_tokens(net::IoThread& io, llm::Request request) {
  const SteadyTime arrived = clock_.steady();
  request.deadline = arrived + allowed_for(request);
  auto placed = co_await place(request, arrived, fleet::Attempt::first);
  if (!placed) co_return std::unexpected(std::move(placed.error()));
  co_return co_await placed->lease.backend().count_tokens(io, request);
}

Task<Result<llm::Answer>> Generate::load(llm::Request request) {
  const SteadyTime arrived = clock_.steady();
  auto chosen = choose(request);
  if (!chosen) co_return std::unexpected(std::move(chosen.error()));
  llm::Answer answer;
  answer.notes = std::move(chosen->notes);
  auto lease = co_await fleet_.lease(answer.notes.backend, request.priority, arrived + allowed_for(request));
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  answer.load = clock_.steady() - arrived;
  answer.notes.total_ms = milliseconds(arrived, clock_.steady());
  co_return answer;
}

}  // namespace gbgreg::services

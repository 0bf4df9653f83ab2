#include "services/generate.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <random>

#include "llm/trace.h"
#include "net/io_thread.h"
#include "routing/features.h"
#include "routing/policy.h"

namespace gbgreg::services {
namespace {

double milliseconds(SteadyTime from, SteadyTime to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// Never zero.
std::uint64_t roll_dice() {
  thread_local std::minstd_rand dice{std::random_device{}()};
  return dice();
}

}  // namespace

// How a request is put to a backend and its answer handed on: in the hub's words, or in the backend's own.
class Generate::Speaker {
 public:
  // When the first of this attempt's answer came.
  std::optional<SteadyTime> first_at() const { return first_at_; }
  void begin_attempt(Spending& spending) {
    first_at_.reset();
    spending.begin_attempt();
    spending_ = &spending;
  }

 protected:
  void something_came(const Clock& clock, std::int64_t pieces) {
    if (!first_at_) first_at_ = clock.steady();
    spending_->piece_came(pieces);
  }

 private:
  std::optional<SteadyTime> first_at_;
  Spending* spending_ = nullptr;  // Of the request.
};

class Generate::Speaking final : public Speaker, private llm::Sink {
 public:
  Speaking(AnswerSink& sink, const Clock& clock, Attached* attached)
      : sink_(sink), clock_(clock), attached_(attached) {}
  void chosen(const llm::AnswerNotes& notes) { sink_.chosen(notes); }
  bool start_over() { return sink_.start_over(); }
  static Coming coming() { return Coming::in_pieces; }
  static constexpr std::string_view kThinkName = "think";
  Task<Result<void>> speak(net::IoThread& io, llm::Request& request, backends::Backend& backend, int context_tokens) {
    if (attached_ != nullptr) co_await fit(io, request, *attached_, backend, context_tokens);
    completion_ = co_await backend.generate(io, request, *this);
    for (int refusals = 1; attached_ != nullptr && is_too_long() && refusals <= kRefusalsMax; ++refusals) {
      if (!keep_less(*attached_, request)) break;
      completion_ = co_await backend.generate(io, request, *this);
    }
    if (!completion_) co_return std::unexpected(completion_.error());
    co_return Result<void>{};
  }
  Result<llm::Completion> end() { return std::move(completion_); }
  void tell(const llm::Request& request, llm::AnswerNotes& notes) const {
    if (attached_ != nullptr) services::tell(*attached_, request, notes);
  }

 private:
  // Where its context is smaller than we were told, or its tokens are more than could be estimated.
  static constexpr int kRefusalsMax = 6;
  bool is_too_long() const { return !completion_ && completion_.error().code == "prompt_too_long"; }

  Task<Result<void>> delta(const llm::Delta& piece) override {
    something_came(clock_, 1);
    return sink_.delta(piece);
  }

  AnswerSink& sink_;
  const Clock& clock_;
  Attached* attached_;
  Result<llm::Completion> completion_;
};

class Generate::Relaying final : public Speaker, private backends::ByteSink {
 public:
  Relaying(RelaySink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}
  void chosen(const llm::AnswerNotes& notes) { sink_.chosen(notes); }
  bool start_over() { return sink_.start_over(); }
  Coming coming() const { return sink_.comes_whole() ? Coming::whole : Coming::in_pieces; }
  static constexpr std::string_view kThinkName = "reasoning_effort";
  void tell(const llm::Request&, llm::AnswerNotes&) const {}
  Task<Result<void>> speak(net::IoThread& io, llm::Request& request, backends::Backend& backend, int) {
    post_ = sink_.post(backend.takes());
    post_.trace_fields = llm::trace_fields(request.caller);
    post_.first_byte_by = request.first_byte_by;
    post_.deadline = request.deadline;
    return backend.post(io, post_, *this);
  }
  Result<llm::Completion> end() { return sink_.end(); }

 private:
  Result<bool> bytes(std::string_view piece) override {
    // An event is two lines, and about a token.
    something_came(clock_, std::max<std::int64_t>(1, std::ranges::count(piece, '\n') / 2));
    return sink_.bytes(piece);
  }
  Task<Result<void>> drain() override { return sink_.drain(); }

  RelaySink& sink_;
  const Clock& clock_;
  backends::Post post_;
};

struct Generate::Chosen {
  llm::AnswerNotes notes;
  bool was_ready = false;
  bool is_outside = false;
  int context_tokens = 0;
};

struct Generate::Leased {
  Chosen chosen;
  fleet::Lease lease;
};

// A request that has a slot, and what is known of its answer by then.
struct Generate::Placed {
  SteadyTime leased;
  fleet::Lease lease;
  llm::Answer answer = {};
};

Generate::Generate(fleet::Fleet& fleet, metrics::Registry& registry, const Clock& clock, const GenerateOptions& options)
    : fleet_(fleet),
      clock_(clock),
      options_(options),
      figures_(registry, *fleet.snapshot(), Work::answer),
      failovers_(registry, Work::answer) {}

Result<llm::Decision> Generate::decide(const llm::Request& request) const {
  const auto all = std::make_shared<const std::vector<llm::BackendView>>(fleet_.views());
  return choose_open(request, all, open_to(request.caller, all), [&](const std::vector<llm::BackendView>& backends) {
    return routing::choose(routing::read_features(request), request.model, backends);
  });
}

// `open` has what of `all` the caller may use. What could be answered if all were open is forbidden, and not unknown.
template <class Choose>
Result<llm::Decision> Generate::choose_open(const llm::Request& request, const Backends& all, const Backends& open,
                                            Choose choose) const {
  auto decision = choose(*open);
  if (decision || all == open) return decision;
  const auto other = choose(*all);
  if (!other) return decision;
  return role_closed(*request.caller, other->role, *all);
}

Result<Generate::Chosen> Generate::choose(const llm::Request& request) const {
  const Backends all = fleet_.picture_to_choose_from();
  const Backends backends = open_to(request.caller, all);
  const auto reading =
      routing::is_asked_by_name(request.model) ? routing::Reading::for_complexity : routing::Reading::whole;
  const auto features = routing::read_features(request, reading);
  auto decision = choose_open(request, all, backends, [&](const std::vector<llm::BackendView>& from) {
    return routing::choose(features, request.model, from, routing::Detail::brief, roll_dice());
  });
  if (!decision) return std::unexpected(std::move(decision.error()));
  return chosen(request, std::move(*decision), *backends);
}

Generate::Chosen Generate::chosen(const llm::Request& request, llm::Decision decision,
                                  const std::vector<llm::BackendView>& backends) {
  Chosen chosen;
  chosen.notes = {.request_id = request.id,
                  .role = std::move(decision.role),
                  .model = std::move(decision.model),
                  .backend = std::move(decision.backend),
                  .device = "unknown",
                  .complexity = decision.complexity,
                  .reason = std::move(decision.reason),
                  .ignored_options = request.ignored_options};
  const auto view = std::ranges::find(backends, chosen.notes.backend, &llm::BackendView::id);
  if (view != backends.end()) {
    chosen.notes.device = view->placement.device;
    chosen.notes.objective_ms = view->objective_ms;
    chosen.was_ready = view->state == llm::BackendState::ready;
    chosen.is_outside = !view->server.empty();
    chosen.context_tokens = view->context_tokens;
  }
  return chosen;
}

namespace {

// Whether a backend that is ready can answer in the place of `failed`: of the same role, or of the same model where
// that was asked for.
bool can_stand_in(const llm::BackendView& view, const llm::Request& request, const llm::AnswerNotes& failed,
                  const std::vector<std::string>& tried) {
  const bool by_name = routing::is_asked_by_name(request.model) && request.model != failed.role;
  const bool can_answer = by_name ? routing::is_named(view.model, request.model) : view.role == failed.role;
  const bool is_open = request.caller == nullptr || request.caller->may_use(view.role);
  return can_answer && is_open && !view.embeds && view.state == llm::BackendState::ready &&
         std::ranges::find(tried, view.id) == tried.end();
}

}  // namespace

// Another backend that is ready and can answer in the place of those that were tried.
std::optional<Generate::Chosen> Generate::choose_another(const llm::Request& request, const llm::AnswerNotes& failed,
                                                         const std::vector<std::string>& tried) const {
  auto backends = fleet_.views();
  const bool by_name = routing::is_asked_by_name(request.model) && request.model != failed.role;
  std::erase_if(backends, [&](const auto& view) { return !can_stand_in(view, request, failed, tried); });
  if (backends.empty()) return std::nullopt;
  auto decision = routing::choose(routing::read_features(request, routing::Reading::for_complexity),
                                  by_name ? request.model : failed.role, backends, routing::Detail::brief, roll_dice());
  if (!decision) return std::nullopt;
  decision->reason = failed.reason + " The backend that was asked first failed.";
  return chosen(request, std::move(*decision), backends);
}

// A server that hangs is given up only for another that could answer: where there is none, waiting is all that is left.
SteadyTime Generate::first_byte_by(const llm::Request& request, const llm::AnswerNotes& asked, Coming coming,
                                   const std::vector<std::string>& tried) const {
  const auto backends = fleet_.snapshot();
  const auto view = std::ranges::find(*backends, asked.backend, &llm::BackendView::id);
  const bool has_another = std::ranges::any_of(*backends, [&](const llm::BackendView& other) {
    return other.id != asked.backend && can_stand_in(other, request, asked, tried);
  });
  if (view == backends->end() || !has_another) return SteadyTime::max();
  const SteadyTime now = clock_.steady();
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(request.deadline - now);
  return now + first_byte_within(*view, coming, request.sampling.tokens_max, left);
}

std::chrono::milliseconds Generate::allowed_for(const llm::Request& request) const {
  return request.deadline_ms ? std::chrono::milliseconds{*request.deadline_ms} : options_.request_timeout;
}

Task<Result<llm::Answer>> Generate::answer(net::IoThread& io, llm::Request request, AnswerSink& sink,
                                           Attached* attached) {
  co_return co_await run(io, request, Speaking(sink, clock_, attached));
}

Task<Result<llm::Answer>> Generate::relay(net::IoThread& io, llm::Request& request, RelaySink& sink) {
  return run(io, request, Relaying(sink, clock_));
}

// One coroutine on purpose, where functions would read better: its frame is what an answer costs as long as it takes.
template <class Speaks>
Task<Result<llm::Answer>> Generate::run(net::IoThread& io, llm::Request& request, Speaks speaker) {
  const SteadyTime arrived = clock_.steady();
  AnswerFigures::Request counted(figures_, io.index());
  llm::Trace* trace = request.caller != nullptr ? request.caller->trace() : nullptr;
  request.deadline = arrived + allowed_for(request);
  if (request.caller != nullptr && request.caller->is_metered()) {
    const std::int64_t tokens = tokens_expected(request);
    auto may = request.caller->expect(tokens);
    if (!may) may = co_await request.caller->expect_later(tokens);
    if (!*may) co_return std::unexpected(counted.failed(std::move(may->error())));
  }

  Spending spending(request);
  Attempts attempts(options_.attempts, clock_, request.deadline);
  std::vector<std::string> tried;  // Backends that failed this request.
  std::optional<Chosen> another;
  bool is_fresh = false;  // The other backend may take it as any first request: it was never the request's own doing.
  for (;;) {
    auto chosen = another ? Result<Chosen>(std::move(*another)) : choose(request);
    another.reset();
    if (!chosen) co_return std::unexpected(counted.failed(std::move(chosen.error())));
    counted.chosen(chosen->notes.role, chosen->notes.model);
    // Not since it arrived: what an earlier attempt took was neither waiting nor loading.
    const SteadyTime asked = clock_.steady();
    const fleet::Attempt begun = attempts.begin();
    const fleet::Attempt which = std::exchange(is_fresh, false) ? fleet::Attempt::first : begun;
    auto lease = which == fleet::Attempt::first ? fleet_.try_lease(chosen->notes.backend) : std::nullopt;
    if (!lease) {
      auto waited =
          co_await fleet_.lease(chosen->notes.backend, request.priority, request.deadline, which, request.caller);
      if (!waited) {
        if (trace != nullptr) trace->waited(chosen->notes, asked, waited.error().code);
        // What the fleet says is final, for it has waited for whatever can be waited for, unless another can answer.
        const bool is_down = waited.error().kind == Kind::unavailable || waited.error().kind == Kind::busy;
        if (is_down && attempts.may_ask_another()) {
          tried.push_back(chosen->notes.backend);
          another = choose_another(request, chosen->notes, tried);
        } else if (waited.error().code == fleet::kModelRemoved && attempts.may_ask_another()) {
          // It is not configured any more, and what is now may answer as well.
          if (auto now = choose(request)) another = std::move(*now);
        }
        if (!another) co_return std::unexpected(counted.failed(std::move(waited.error())));
        failovers_.count(io.index(), chosen->notes.role, chosen->notes.backend);
        is_fresh = which == fleet::Attempt::first;
        continue;
      }
      lease.emplace(std::move(*waited));
    }
    const bool is_outside = chosen->is_outside;
    const int context_tokens = chosen->context_tokens;
    Placed placed = place(std::move(*chosen), std::move(*lease), asked, clock_.steady());
    counted.placed(placed.answer.notes.queue_ms);
    if (trace != nullptr) {
      trace->waited(placed.answer.notes, asked, {});
      trace->asks(placed.answer.notes);
    }

    request.first_byte_by = SteadyTime::max();
    if (is_outside) {
      llm::AnswerNotes& notes = placed.answer.notes;
      if (attempts.may_ask_another()) request.first_byte_by = first_byte_by(request, notes, speaker.coming(), tried);
      const auto left_out =
          protocols::fields_left_out(request, placed.lease.backend().takes(), std::decay_t<Speaks>::kThinkName);
      notes.ignored_options.insert(notes.ignored_options.end(), left_out.begin(), left_out.end());
    }
    speaker.begin_attempt(spending);
    speaker.chosen(placed.answer.notes);
    auto spoken = co_await speaker.speak(io, request, placed.lease.backend(), context_tokens);
    auto completion = spoken ? speaker.end() : std::unexpected(std::move(spoken.error()));
    if (trace != nullptr) {
      trace->told(completion ? completion->usage : llm::Usage{}, completion ? "" : completion.error().code);
    }
    if (completion) {
      spending.told(completion->usage);
      speaker.tell(request, placed.answer.notes);
      llm::Answer answer = told(placed, arrived, speaker, *completion);
      counted.answered(completion->usage, answer.notes);
      co_return answer;
    }

    Error& error = completion.error();
    if (error.kind != Kind::cancelled && !spending.has_come()) spending.spared();
    error.detail = placed.lease.backend().without_secrets(std::move(error.detail));
    if (!attempts.failed(error, placed.lease) || !speaker.start_over()) {
      co_return std::unexpected(counted.failed(std::move(error)));
    }
    if (attempts.may_ask_another()) {
      tried.push_back(placed.answer.notes.backend);
      another = choose_another(request, placed.answer.notes, tried);
    }
    // A prompt that kills our own workers counts as before, wherever it goes next.
    is_fresh = another && (is_outside || error.kind == Kind::unavailable);
    if (!is_fresh) {
      if (auto last = attempts.give_up(error)) co_return std::unexpected(counted.failed(std::move(*last)));
    }
    counted.retried();
    if (another) failovers_.count(io.index(), placed.answer.notes.role, placed.answer.notes.backend);
    spdlog::warn("request {}: {} ({}); trying {}", request.id, error.message, error.detail,
                 another ? another->notes.backend : "again");
  }
}

Generate::Placed Generate::place(Chosen chosen, fleet::Lease lease, SteadyTime asked, SteadyTime leased) {
  Placed placed{.leased = leased, .lease = std::move(lease)};
  placed.answer.notes = std::move(chosen.notes);
  placed.answer.notes.queue_ms = milliseconds(asked, leased);
  if (!chosen.was_ready) placed.answer.load = leased - asked;
  if (!placed.lease.device().empty()) placed.answer.notes.device = placed.lease.device();
  return placed;
}

// The answer is whole: what is to be said of it, to the client, and to the fleet.
llm::Answer Generate::told(Placed& placed, SteadyTime arrived, const Speaker& speaker,
                           const llm::Completion& completion) {
  llm::Answer answer = std::move(placed.answer);
  const SteadyTime ended = clock_.steady();
  const SteadyTime first_at = speaker.first_at().value_or(ended);
  answer.completion = completion;
  answer.notes.ttft_ms = milliseconds(arrived, first_at);
  answer.notes.total_ms = milliseconds(arrived, ended);
  answer.notes.kept_tokens = completion.usage.prompt_tokens;
  const fleet::TimesTaken times{.slot_ms = milliseconds(placed.leased, ended), .total_ms = answer.notes.total_ms};
  placed.lease.report_success(completion.usage, times);
  return answer;
}

// Chosen anew when it is taken out of the configuration meanwhile.
Task<Result<Generate::Leased>> Generate::lease(const llm::Request& request, SteadyTime deadline) {
  std::optional<Error> removed;
  for (int attempt = 0; attempt < options_.attempts.backends_max; ++attempt) {
    auto chosen = choose(request);
    if (!chosen) co_return std::unexpected(removed ? std::move(*removed) : std::move(chosen.error()));
    auto lease =
        co_await fleet_.lease(chosen->notes.backend, request.priority, deadline, fleet::Attempt::first, request.caller);
    if (lease) co_return Leased{.chosen = std::move(*chosen), .lease = std::move(*lease)};
    if (lease.error().code != fleet::kModelRemoved) co_return std::unexpected(std::move(lease.error()));
    removed = std::move(lease.error());
  }
  co_return std::unexpected(std::move(*removed));
}

Task<Result<int>> Generate::count_tokens(net::IoThread& io, llm::Request request) {
  const SteadyTime arrived = clock_.steady();
  request.deadline = arrived + allowed_for(request);
  auto leased = co_await lease(request, request.deadline);
  if (!leased) co_return std::unexpected(std::move(leased.error()));
  const backends::Backend& backend = leased->lease.backend();
  auto counted = co_await leased->lease.backend().count_tokens(io, request);
  if (!counted) counted.error().detail = backend.without_secrets(std::move(counted.error().detail));
  co_return counted;
}

Task<Result<llm::Answer>> Generate::load(llm::Request request) {
  const SteadyTime arrived = clock_.steady();
  auto leased = co_await lease(request, arrived + allowed_for(request));
  if (!leased) co_return std::unexpected(std::move(leased.error()));
  llm::Answer answer;
  answer.notes = std::move(leased->chosen.notes);
  answer.load = clock_.steady() - arrived;
  answer.notes.total_ms = milliseconds(arrived, clock_.steady());
  co_return answer;
}

}  // namespace gbgreg::services

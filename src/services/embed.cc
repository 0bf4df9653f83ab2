#include "services/embed.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "llm/trace.h"
#include "net/io_thread.h"
#include "routing/embedders.h"

namespace gbgreg::services {
namespace {

constexpr std::string_view kTooLong = "prompt_too_long";

double milliseconds(SteadyTime from, SteadyTime to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

std::unexpected<Error> too_long(int context_tokens) {
  return std::unexpected(
      Error{.kind = Kind::malformed,
            .code = std::string(kTooLong),
            .message = "An input is longer than the " + std::to_string(context_tokens) +
                       " tokens that the model takes: shorten it, or cut it into pieces.",
            .details_json = R"({"field":"input","context_tokens":)" + std::to_string(context_tokens) + "}"});
}

std::unexpected<Error> wrong_dimensions(const std::string& must_be) {
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = "\"dimensions\" must be " + must_be + ".",
                               .details_json = R"({"field":"dimensions"})"});
}

std::unexpected<Error> not_understood(std::string detail) {
  return fail(Kind::backend_failed, "backend_failed",
              "The model's worker gave an answer that cannot be understood; try again.", std::move(detail));
}

std::unexpected<Error> too_many_numbers(std::size_t numbers_max) {
  return fail(Kind::too_large, "embeddings_too_large",
              "The vectors of all inputs would have more than the limit of " + std::to_string(numbers_max) +
                  " numbers: ask for fewer inputs at once.");
}

// Whether vectors of `numbers` may be cut to what was asked for.
Result<void> check_dimensions(std::optional<int> asked, std::size_t numbers, int dimensions_min) {
  if (!asked || static_cast<std::size_t>(*asked) == numbers) return {};
  const std::string all = std::to_string(numbers);
  if (static_cast<std::size_t>(*asked) > numbers) {
    return wrong_dimensions("at most " + all + ": the model's vectors have no more numbers");
  }
  if (dimensions_min == 0) {
    return wrong_dimensions(all + ", or left out: this model's vectors mean nothing when they are cut");
  }
  if (*asked < dimensions_min) {
    return wrong_dimensions("from " + std::to_string(dimensions_min) + " to " + all + " for this model");
  }
  return {};
}

// False when it has no direction.
bool make_unit_length(llm::Vector& vector) {
  double sum = 0;
  for (const float number : vector) sum += static_cast<double>(number) * static_cast<double>(number);
  if (!(sum > 0)) return false;
  const double length = std::sqrt(sum);
  for (float& number : vector) number = static_cast<float>(static_cast<double>(number) / length);
  return true;
}

// The token that the model wants behind every text, if it wants one there: `around` is what it makes of no text at all.
std::optional<std::int32_t> closing_token(const llm::TokenIds& around, const llm::TokenIds& tokens) {
  if (around.empty() || tokens.empty() || tokens.back() != around.back()) return std::nullopt;
  const bool stands_in_front = around.size() == 1 && tokens.front() == around.front();
  if (stands_in_front) return std::nullopt;
  return around.back();
}

// Says how many tokens went.
int cut_tokens(llm::TokenIds& tokens, const llm::TokenIds& around, int tokens_max) {
  const auto kept = static_cast<std::size_t>(tokens_max);
  if (tokens.size() <= kept) return 0;
  const auto dropped = static_cast<int>(tokens.size() - kept);
  const auto closing = closing_token(around, tokens);
  tokens.resize(kept);
  if (closing) tokens.back() = *closing;
  return dropped;
}

llm::Usage usage_of(const llm::Embeddings& answer) { return {.prompt_tokens = answer.prompt_tokens}; }

// The other backends of the same model that are ready: vectors of another would not fit.
std::vector<llm::BackendView> others_of(std::vector<llm::BackendView> backends, const llm::Caller* caller,
                                        std::string_view model, const std::vector<std::string>& tried) {
  std::erase_if(backends, [&](const llm::BackendView& view) {
    return !view.embeds || (caller != nullptr && !caller->may_use(view.role)) || view.model != model ||
           view.state != llm::BackendState::ready || std::ranges::find(tried, view.id) != tried.end();
  });
  return backends;
}

}  // namespace

// A request that has a slot, and what is known of its answer and its model by then.
struct Embed::Placed {
  SteadyTime deadline;
  SteadyTime leased;
  fleet::Lease lease;
  int tokens_max = 0;      // Of one text.
  int dimensions_min = 0;  // As BackendView's.
  llm::Embeddings answer = {};
};

struct Embed::Portion {
  llm::EmbedBatch batch;
  int dropped_tokens = 0;
};

Embed::Embed(fleet::Fleet& fleet, metrics::Registry& registry, const Clock& clock, const EmbedOptions& options)
    : fleet_(fleet),
      clock_(clock),
      options_(options),
      inputs_(registry.counter("gbgreg_embedded_inputs_total", "Texts that models have made vectors of.")),
      figures_(registry, *fleet.snapshot(), Work::embedding),
      failovers_(registry, Work::embedding) {}

Task<Result<llm::Embeddings>> Embed::embed(net::IoThread& io, llm::EmbedRequest request, llm::AnswerNotes& chosen) {
  const SteadyTime arrived = clock_.steady();
  AnswerFigures::Request counted(figures_, io.index());
  llm::Trace* trace = request.caller != nullptr ? request.caller->trace() : nullptr;
  const SteadyTime deadline =
      arrived + (request.deadline_ms ? std::chrono::milliseconds{*request.deadline_ms} : options_.request_timeout);
  if (request.caller != nullptr && request.caller->is_metered()) {
    const std::int64_t tokens = tokens_expected(request);
    auto may = request.caller->expect(tokens);
    if (!may) may = co_await request.caller->expect_later(tokens);
    if (!*may) co_return std::unexpected(counted.failed(std::move(may->error())));
  }
  Attempts attempts(options_.attempts, clock_, deadline);
  std::vector<std::string> tried;  // Backends that failed this request.
  for (;;) {
    auto placed = co_await place(request, deadline, attempts.begin(), tried);
    if (!placed) co_return std::unexpected(counted.failed(std::move(placed.error())));
    chosen = placed->answer.notes;
    counted.chosen(chosen.role, chosen.model);
    counted.placed(chosen.queue_ms);
    if (trace != nullptr) trace->asks(chosen);
    auto answer = co_await attempt(io, request, *placed);
    if (trace != nullptr) trace->told(answer ? usage_of(*answer) : llm::Usage{}, answer ? "" : answer.error().code);
    if (answer) {
      answer->notes.total_ms = milliseconds(arrived, clock_.steady());
      answer->notes.ttft_ms = answer->notes.total_ms;  // No part of it is of use before the whole.
      if (request.inputs.empty()) {
        counted.asked_nothing();
      } else {
        report(io, *placed, *answer);
        counted.answered(usage_of(*answer), answer->notes);
      }
      co_return answer;
    }
    Error& error = answer.error();
    error.detail = placed->lease.backend().without_secrets(std::move(error.detail));
    if (!attempts.failed(error, placed->lease)) co_return std::unexpected(counted.failed(std::move(error)));
    tried.push_back(chosen.backend);
    const bool another =
        attempts.may_ask_another() && !others_of(fleet_.views(), request.caller, chosen.model, tried).empty();
    if (another) {
      failovers_.count(io.index(), chosen.role, chosen.backend);
    } else {
      if (auto last = attempts.give_up(error)) co_return std::unexpected(counted.failed(std::move(*last)));
    }
    counted.retried();
    spdlog::warn("request {}: {} ({}); trying again", request.id, error.message, error.detail);
  }
}

// Of what is open to the caller; what could be answered if all were is forbidden, and not unknown.
Result<llm::Decision> Embed::choose(const llm::EmbedRequest& request, const Backends& all) {
  const Backends open = open_to(request.caller, all);
  auto decision = routing::choose_embedder(request.model, *open);
  if (decision || open == all) return decision;
  const auto other = routing::choose_embedder(request.model, *all);
  if (!other) return decision;
  return role_closed(*request.caller, other->role, *all);
}

Task<Result<Embed::Placed>> Embed::place(const llm::EmbedRequest& request, SteadyTime deadline, fleet::Attempt attempt,
                                         const std::vector<std::string>& tried) {
  auto backends = fleet_.picture_to_choose_from();
  if (!tried.empty()) {
    const auto first = std::ranges::find(*backends, tried.front(), &llm::BackendView::id);
    auto others = first == backends->end() ? std::vector<llm::BackendView>{}
                                           : others_of(*backends, request.caller, first->model, tried);
    // A server that was never asked may take it as any first request.
    if (!others.empty()) {
      attempt = fleet::Attempt::first;
      backends = std::make_shared<const std::vector<llm::BackendView>>(std::move(others));
    }
  }
  auto decision = choose(request, backends);
  if (!decision) co_return std::unexpected(std::move(decision.error()));
  const SteadyTime asked = clock_.steady();
  auto lease = co_await fleet_.lease(decision->backend, request.priority, deadline, attempt, request.caller);
  // When it is taken out of the configuration meanwhile, what is there now may answer as well.
  for (int more = 1; !lease && lease.error().code == fleet::kModelRemoved && more < options_.attempts.backends_max;
       ++more) {
    backends = fleet_.picture_to_choose_from();
    auto now = choose(request, backends);
    if (!now) break;
    decision = std::move(now);
    lease = co_await fleet_.lease(decision->backend, request.priority, deadline, attempt, request.caller);
  }
  if (!lease) co_return std::unexpected(std::move(lease.error()));
  const llm::BackendView& view = *std::ranges::find(*backends, decision->backend, &llm::BackendView::id);
  const bool was_ready = view.state == llm::BackendState::ready;

  const SteadyTime leased = clock_.steady();
  Placed placed{.deadline = deadline,
                .leased = leased,
                .lease = std::move(*lease),
                .tokens_max = view.context_tokens,
                .dimensions_min = view.dimensions_min};
  placed.answer.notes = {.request_id = request.id,
                         .role = decision->role,
                         .model = decision->model,
                         .backend = decision->backend,
                         .device = view.placement.device,
                         .complexity = decision->complexity,
                         .reason = decision->reason,
                         .objective_ms = view.objective_ms,
                         .queue_ms = milliseconds(asked, leased),
                         .ignored_options = request.ignored_options};
  if (!was_ready) placed.answer.load = leased - asked;
  llm::Trace* trace = request.caller != nullptr ? request.caller->trace() : nullptr;
  if (trace != nullptr) trace->waited(placed.answer.notes, asked, {});
  co_return placed;
}

Task<Result<llm::Embeddings>> Embed::attempt(net::IoThread& io, const llm::EmbedRequest& request, Placed& placed) {
  llm::Embeddings answer = std::move(placed.answer);
  std::span<const llm::EmbedInput> rest = request.inputs;
  while (!rest.empty()) {
    const auto inputs = rest.first(std::min(rest.size(), options_.inputs_at_once));
    auto portion = co_await embed_portion(io, request, placed, inputs);
    if (!portion) co_return std::unexpected(std::move(portion.error()));
    // As it goes, for who leaves in between pays for what was done.
    if (request.caller != nullptr) request.caller->spent(std::max(0, portion->batch.prompt_tokens));
    if (portion->batch.vectors.size() != inputs.size()) co_return not_understood("other vectors than were asked for");
    auto taken = take(request, placed, std::move(*portion), answer);
    if (!taken) co_return std::unexpected(std::move(taken.error()));
    rest = rest.subspan(inputs.size());
  }
  answer.notes.kept_tokens = answer.prompt_tokens;
  co_return answer;
}

// The first vectors tell how long all of them are, and so whether the request can be answered at all.
Result<void> Embed::take(const llm::EmbedRequest& request, const Placed& placed, Portion portion,
                         llm::Embeddings& answer) const {
  auto& vectors = portion.batch.vectors;
  if (answer.vectors.empty()) {
    const std::size_t numbers = vectors.front().size();
    if (auto checked = check_dimensions(request.dimensions, numbers, placed.dimensions_min); !checked) return checked;
    if (numbers * request.inputs.size() > options_.numbers_max) return too_many_numbers(options_.numbers_max);
  }
  for (llm::Vector& vector : vectors) {
    if (request.dimensions && vector.size() > static_cast<std::size_t>(*request.dimensions)) {
      vector.resize(static_cast<std::size_t>(*request.dimensions));
      vector.shrink_to_fit();
    }
    const std::size_t numbers = answer.vectors.empty() ? vector.size() : answer.vectors.front().size();
    if (vector.size() != numbers) return not_understood("vectors of several lengths");
    if (!make_unit_length(vector)) return not_understood("a vector without a direction");
    answer.vectors.push_back(std::move(vector));
  }
  answer.prompt_tokens += portion.batch.prompt_tokens;
  answer.notes.dropped_tokens += portion.dropped_tokens;
  return {};
}

// The worker is the one to say that a text is too long; only then are tokens counted.
Task<Result<Embed::Portion>> Embed::embed_portion(net::IoThread& io, const llm::EmbedRequest& request,
                                                  const Placed& placed, std::span<const llm::EmbedInput> inputs) {
  backends::Backend& backend = placed.lease.backend();
  auto batch = co_await backend.embed(io, inputs, placed.deadline, llm::trace_fields(request.caller));
  if (batch) co_return Portion{.batch = std::move(*batch)};
  if (batch.error().code != kTooLong) co_return std::unexpected(std::move(batch.error()));
  if (request.too_long == llm::TooLong::refuse) co_return too_long(placed.tokens_max);

  std::vector<llm::EmbedInput> shorter(inputs.begin(), inputs.end());
  const auto dropped = co_await cut(io, placed, shorter);
  if (!dropped) co_return std::unexpected(dropped.error());
  batch = co_await backend.embed(io, shorter, placed.deadline, llm::trace_fields(request.caller));
  if (batch) co_return Portion{.batch = std::move(*batch), .dropped_tokens = *dropped};
  if (batch.error().code == kTooLong) co_return too_long(placed.tokens_max);
  co_return std::unexpected(std::move(batch.error()));
}

// Cuts those that are too long, which then are tokens, and says how many of these went.
Task<Result<int>> Embed::cut(net::IoThread& io, const Placed& placed, std::span<llm::EmbedInput> inputs) {
  backends::Backend& backend = placed.lease.backend();
  const auto around = co_await backend.tokens(io, "", placed.deadline);
  if (!around) co_return std::unexpected(around.error());
  int dropped = 0;
  for (llm::EmbedInput& input : inputs) {
    llm::TokenIds tokens;
    if (const auto* text = std::get_if<std::string>(&input)) {
      auto read = co_await backend.tokens(io, *text, placed.deadline);
      if (!read) co_return std::unexpected(std::move(read.error()));
      tokens = std::move(*read);
    } else {
      tokens = std::get<llm::TokenIds>(input);
    }
    const int gone = cut_tokens(tokens, *around, placed.tokens_max);
    dropped += gone;
    if (gone > 0) input = std::move(tokens);
  }
  co_return dropped;
}

void Embed::report(net::IoThread& io, Placed& placed, const llm::Embeddings& answer) {
  const llm::Usage usage = usage_of(answer);
  const fleet::TimesTaken times{.slot_ms = milliseconds(placed.leased, clock_.steady()),
                                .total_ms = answer.notes.total_ms};
  placed.lease.report_success(usage, times);
  inputs_.add(io.index(), answer.vectors.size());
}

}  // namespace gbgreg::services

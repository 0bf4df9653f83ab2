#include "fleet/outside_server.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "fleet/changes.h"

namespace gbgreg::fleet {
namespace {

ServerSchedulerOptions scheduler_options(const Options& fleet, const ServerOptions& server) {
  int objective_ms = 5000;
  for (const auto& model : server.models) objective_ms = std::min(objective_ms, model.objective_ms);
  return {.server = server.name,
          .slots = server.slots,
          .queue_max = fleet.queue_max,
          .objective = std::chrono::milliseconds{objective_ms},
          .queue_wait_max = fleet.queue_wait_max};
}

Error says_nothing() {
  return {.kind = Kind::backend_failed,
          .code = "backend_silent",
          .message = "It takes connections and then says nothing: see to it there, or start it again."};
}

// Ollama and vLLM list all that they can be asked for; others may answer to more names than they list, llama-server to
// any.
bool lists_everything(ServerKind kind) { return kind == ServerKind::ollama || kind == ServerKind::vllm; }

bool is_listed_as(ServerKind kind, std::string_view listed, const std::string& asked) {
  return kind == ServerKind::ollama ? protocols::is_ollama_name(listed, asked) : listed == asked;
}

// "den does not have llama3.1:8b; it has qwen3:4b and 3 more: …"
std::string does_not_have(const ServerOptions& server, const std::string& model, const protocols::ServerModels& told) {
  constexpr std::size_t kNamesShown = 5;
  std::string text = server.name + " does not have " + model + "; it has ";
  if (told.models.empty()) text += "no model at all";
  const std::size_t shown = std::min(told.models.size(), kNamesShown);
  for (std::size_t i = 0; i < shown; ++i) text.append(i == 0 ? "" : ", ").append(told.models[i].name);
  if (told.models.size() > shown)
    text.append(" and ").append(std::to_string(told.models.size() - shown)).append(" more");
  text += server.kind == ServerKind::ollama ? ": run `ollama pull " + model + "` there, or correct `served_as`."
                                            : ": have it loaded there, or correct `served_as`.";
  return text;
}

}  // namespace

OutsideServer::OutsideServer(ServerSurroundings surroundings, const ServerOptions& options)
    : surroundings_(std::move(surroundings)),
      options_(options),
      gate_(std::make_shared<SlotGate>()),
      scheduler_(scheduler_options(surroundings_.options, options), surroundings_.clock.steady()),
      timer_(surroundings_.io.executor()),
      reports_timer_(surroundings_.io.executor()) {
  models_.reserve(options_.models.size());
  for (const OutsideModelOptions& model : options_.models) models_.push_back(make_model(model));
}

OutsideServer::Model OutsideServer::make_model(const OutsideModelOptions& options) {
  std::string id = options.role + "/" + options.model + "@" + options_.name;
  auto seat =
      std::make_shared<const Seat>(Seat{.id = std::move(id), .gate = gate_, .reports = std::make_shared<ReportBox>()});
  return {.options = options, .seat = std::move(seat), .backend = surroundings_.make_backend(options_, options)};
}

std::vector<OutsideServer::LeftOut> OutsideServer::adopt(const ServerOptions& options) {
  fetch_reports();
  close_gate();
  const bool is_another = compare(options_, options).difference == Difference::replaces;
  options_ = options;
  std::vector<Model> models;
  models.reserve(options_.models.size());
  for (const OutsideModelOptions& wanted : options_.models) {
    const auto is_it = [&](const Model& had) {
      return had.options.role == wanted.role && had.options.model == wanted.model;
    };
    const auto had = std::ranges::find_if(models_, is_it);
    if (had == models_.end()) {
      models.push_back(make_model(wanted));
      continue;
    }
    // Its seat goes on, and what was measured; whoever speaks to it now goes on with what it speaks by.
    const bool is_spoken_to_otherwise = is_another || had->options.served_as != wanted.served_as;
    if (is_spoken_to_otherwise) {
      had->backend = surroundings_.make_backend(options_, wanted);
      had->listed_tokens = had->told_tokens = std::nullopt;
      had->was_asked = false;
      had->missing.clear();
    }
    had->options = wanted;
    models.push_back(std::move(*had));
  }
  models_ = std::move(models);

  std::vector<LeftOut> left_out;
  std::vector<WaiterId> gone;
  for (auto& [id, asking] : waiting_) {
    if (model(asking.backend_id) != nullptr) continue;
    gone.push_back(id);
    left_out.push_back({.model = std::move(asking.model), .answer = std::move(asking.answer)});
  }
  for (const WaiterId id : gone) {
    scheduler_.withdraw(id);
    waiting_.erase(id);
  }
  if (is_another) {
    ++identity_;
    scheduler_.forget_how_it_was(now());
  }
  perform(scheduler_.adopt(now(), scheduler_options(surroundings_.options, options_)));
  act(scheduler_.time_passed(now()));
  return left_out;
}

std::vector<OutsideServer::LeftOut> OutsideServer::retire() {
  gate_->close();
  reports_timer_.cancel();
  std::vector<LeftOut> left_out;
  left_out.reserve(waiting_.size());
  for (auto& [id, asking] : waiting_) {
    left_out.push_back({.model = std::move(asking.model), .answer = std::move(asking.answer)});
  }
  waiting_.clear();
  return left_out;
}

void OutsideServer::start() { act(scheduler_.time_passed(now())); }

void OutsideServer::stop() {
  close_gate();
  act(scheduler_.stop(now()));
  reports_timer_.cancel();
}

void OutsideServer::ask(std::string_view backend_id, const Waiter& waiter, Answer answer) {
  close_gate();
  const Model* asked = model(backend_id);
  Asking asking{.backend_id = std::string(backend_id),
                .model = asked == nullptr ? std::string() : asked->options.model,
                .answer = std::move(answer)};
  waiting_.emplace(waiter.id, std::move(asking));
  act(scheduler_.ask(now(), waiter));
}

void OutsideServer::withdraw(WaiterId waiter) {
  if (!waiting_.contains(waiter)) return;
  scheduler_.withdraw(waiter);
  answer(waiter, fail(Kind::cancelled, "cancelled", "The client left while the request waited for a slot."));
  act({});
}

void OutsideServer::release(std::uint64_t generation, bool) {
  fetch_reports();  // The one request of a half-open breaker may have gone well.
  act(scheduler_.release(now(), generation));
}

void OutsideServer::reports_came() {
  reports_timer_.expires_after(ReportBox::kKeptFor);
  reports_timer_.async_wait([this, here = Here(here_)](const boost::system::error_code& failure) {
    if (failure || here.expired()) return;
    fetch_reports();
    act({});
  });
}

void OutsideServer::fetch_reports() {
  for (Model& model : models_) {
    for (const Report& report : model.seat->reports->fetch()) {
      model.figures.add(report.usage, report.times.total_ms);
      model.figures.add_latency(report.times.slot_ms);
      scheduler_.request_succeeded(report.generation, report.times.slot_ms);
    }
  }
}

void OutsideServer::request_failed(std::uint64_t generation, const Error& why) {
  fetch_reports();
  close_gate();
  act(scheduler_.request_failed(now(), generation, why));
}

void OutsideServer::request_failed_again(std::uint64_t generation, const Error& why) {
  request_failed(generation, why);
}

const OutsideServer::Model* OutsideServer::model(std::string_view backend_id) const {
  const auto found = std::ranges::find_if(models_, [&](const Model& one) { return one.seat->id == backend_id; });
  return found == models_.end() ? nullptr : &*found;
}

std::shared_ptr<const Seat> OutsideServer::seat_of(std::string_view backend_id) const {
  const Model* found = model(backend_id);
  return found == nullptr ? nullptr : found->seat;
}

void OutsideServer::act(Actions actions) {
  perform(std::move(actions));
  if (const int slots = scheduler_.lend(now()); slots > 0) gate_->lend(scheduler_.generation(), slots);
  set_timer();
  if (const llm::BackendState is = scheduler_.state(); is != told_) {
    told_ = is;
    spdlog::info("server {}: {} {}", options_.name, llm::state_name(is), scheduler_.detail());
  }
  surroundings_.on_change();
}

void OutsideServer::perform(Actions actions) {
  for (Action& action : actions) {
    if (std::holds_alternative<CheckEngine>(action)) {
      check();
    } else if (const auto* grant = std::get_if<Grant>(&action)) {
      answer(grant->waiter, Slot{.generation = scheduler_.generation(), .is_retry = grant->is_retry});
    } else if (auto* refuse = std::get_if<Refuse>(&action)) {
      answer(refuse->waiter, std::unexpected(std::move(refuse->error)));
    }
  }
}

void OutsideServer::close_gate() { perform(scheduler_.take_back(now(), gate_->close())); }

void OutsideServer::check() {
  const SteadyTime deadline = now() + surroundings_.options.check_timeout;
  spawn(surroundings_.io.executor(), "check a server",
        ask_how_it_is(here_, surroundings_.io, deadline, models_.front().backend, identity_));
}

OutsideServer* OutsideServer::find(const Here& server, int identity) {
  const auto here = server.lock();
  return here && (*here)->identity_ == identity ? *here : nullptr;
}

// Bounded by its deadline, so the fleet's thread does not wait for it long.
Task<void> OutsideServer::ask_how_it_is(Here server, net::IoThread& io, SteadyTime deadline,
                                        std::shared_ptr<backends::Backend> backend, int identity) {
  const auto told = co_await backend->check(io, deadline);
  std::vector<Question> questions;
  if (OutsideServer* here = find(server, identity); here != nullptr && told) {
    here->take_list(*told);
    questions = here->contexts_to_ask();
  }
  for (const Question& question : questions) {
    const auto tokens = co_await question.backend->context_tokens(io, deadline);
    if (OutsideServer* here = find(server, identity)) here->take_context(question.id, tokens);
  }
  if (OutsideServer* here = find(server, identity)) {
    here->checked(told ? Result<void>{} : std::unexpected(told.error()));
  }
}

void OutsideServer::checked(Result<void> outcome) {
  if (!outcome) {
    // When it comes back, it may be set up in another way.
    for (Model& model : models_) model.was_asked = false;
    if (outcome.error().kind == Kind::timed_out) outcome = std::unexpected(says_nothing());
  }
  close_gate();
  act(outcome ? scheduler_.check_passed(now()) : scheduler_.check_failed(now(), outcome.error()));
}

void OutsideServer::take_list(const protocols::ServerModels& told) {
  // An empty list is one only where it is all that can be asked for.
  const bool is_list = told.is_told && (!told.models.empty() || lists_everything(options_.kind));
  for (Model& model : models_) {
    const auto listed = std::ranges::find_if(told.models, [&](const protocols::ServerModel& one) {
      return is_listed_as(options_.kind, one.name, model.options.served_as);
    });
    const bool is_there = listed != told.models.end();
    if (is_there) model.listed_tokens = listed->context_tokens;
    const bool is_missing = is_list && !is_there && options_.kind != ServerKind::llama_server;
    if (is_missing && model.missing.empty()) {
      spdlog::warn("server {}: it does not list {}", options_.name, model.options.served_as);
    }
    model.missing = is_missing ? does_not_have(options_, model.options.served_as, told) : "";
  }
}

// Each is asked once, while the server is there: it changes only when the server is set up anew.
std::vector<OutsideServer::Question> OutsideServer::contexts_to_ask() const {
  std::vector<Question> questions;
  const bool tells_more = options_.kind == ServerKind::ollama || options_.kind == ServerKind::llama_server;
  if (!tells_more) return questions;
  for (const Model& model : models_) {
    if (model.options.context_tokens || model.was_asked || !model.missing.empty()) continue;
    questions.push_back({.id = model.seat->id, .backend = model.backend});
  }
  return questions;
}

void OutsideServer::take_context(std::string_view id, const Result<std::optional<int>>& told) {
  const auto model = std::ranges::find_if(models_, [&](const Model& one) { return one.seat->id == id; });
  if (model == models_.end()) return;
  if (told) model->told_tokens = *told;
  // Who refuses to say it does so again.
  model->was_asked = told || (told.error().kind != Kind::timed_out && told.error().kind != Kind::unavailable);
}

void OutsideServer::answer(WaiterId waiter, Result<Slot> result) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return;
  Asking asking = std::move(found->second);
  waiting_.erase(found);
  if (const Model* asked = model(asking.backend_id); result && asked != nullptr) {
    result->seat = asked->seat;
    result->backend = asked->backend;
  }
  asking.answer(std::move(result));
}

void OutsideServer::set_timer() {
  const auto next = scheduler_.next_event();
  if (!next) {
    timer_set_for_ = SteadyTime::max();
    timer_.cancel();
    return;
  }
  if (*next >= timer_set_for_) return;
  timer_set_for_ = *next;
  timer_.expires_at(*next);
  timer_.async_wait([this, here = Here(here_)](const boost::system::error_code& failure) {
    if (failure || here.expired()) return;
    timer_set_for_ = SteadyTime::max();
    close_gate();
    act(scheduler_.time_passed(now()));
  });
}

void OutsideServer::show(Picture& picture) const {
  for (const Model& model : models_) {
    picture.views.push_back(view(model));
    picture.places.push_back({.seat = model.seat, .generation = scheduler_.generation(), .backend = model.backend});
  }
  picture.servers.push_back({.name = options_.name, .breaker = scheduler_.breaker()});
}

void OutsideServer::describe(std::vector<llm::BackendDetails>& out) const {
  const int free = gate_->free();
  for (const Model& model : models_) {
    llm::BackendDetails details{.view = view(model)};
    details.view.slots_free = std::clamp(details.view.slots_free + free, 0, details.view.slots_total);
    details.slots_busy = std::max(0, scheduler_.busy() - free);
    details.queue = scheduler_.queue(now());
    details.server = scheduler_.server(now());
    out.push_back(std::move(details));
  }
}

llm::BackendView OutsideServer::view(const Model& model) const {
  llm::BackendView view{.id = model.seat->id, .role = model.options.role, .model = model.options.model};
  view.state = scheduler_.state();
  view.sees_images = model.options.sees_images;
  view.embeds = model.options.embeds;
  const std::optional<int> said = model.told_tokens ? model.told_tokens : model.listed_tokens;
  view.context_tokens = model.options.context_tokens.value_or(said.value_or(OutsideModelOptions::kContextTokens));
  view.slots_total = options_.slots;
  view.slots_free = scheduler_.slots_free();
  view.queued = scheduler_.queued();
  view.queue_max = surroundings_.options.queue_max;
  view.objective_ms = model.options.objective_ms;
  view.preference = model.options.preference;
  view.server = options_.name;
  view.latency_ms = model.figures.latency_ms();
  view.tokens_per_second = model.figures.tokens_per_second();
  view.total_p95_ms = model.figures.total_p95_ms();
  view.detail = scheduler_.detail();
  if (!model.missing.empty() && view.detail.empty()) view.detail = model.missing;
  const bool cannot_answer = !model.missing.empty() && lists_everything(options_.kind);
  if (cannot_answer && view.state == llm::BackendState::ready) view.state = llm::BackendState::unreachable;
  return view;
}

}  // namespace gbgreg::fleet

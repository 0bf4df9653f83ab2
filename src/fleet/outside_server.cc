#include "fleet/outside_server.h"

#include <spdlog/spdlog.h>

#include <algorithm>

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

}  // namespace

OutsideServer::OutsideServer(ServerSurroundings surroundings, const ServerOptions& options)
    : surroundings_(std::move(surroundings)),
      options_(options),
      gate_(std::make_shared<SlotGate>()),
      scheduler_(scheduler_options(surroundings_.options, options), surroundings_.clock.steady()),
      timer_(surroundings_.io.executor()),
      reports_timer_(surroundings_.io.executor()) {
  for (const OutsideModelOptions& model : options_.models) {
    std::string id = model.role + "/" + model.model + "@" + options_.name;
    auto seat = std::make_shared<const Seat>(
        Seat{.id = std::move(id), .gate = gate_, .reports = std::make_shared<ReportBox>()});
    models_.push_back(
        {.options = model, .seat = std::move(seat), .backend = surroundings_.make_backend(options_, model)});
  }
}

void OutsideServer::start() { act(scheduler_.time_passed(now())); }

void OutsideServer::stop() {
  close_gate();
  act(scheduler_.stop(now()));
  reports_timer_.cancel();
}

void OutsideServer::ask(const Waiter& waiter, Answer answer) {
  close_gate();
  waiting_.emplace(waiter.id, std::move(answer));
  act(scheduler_.ask(now(), waiter));
}

void OutsideServer::withdraw(WaiterId waiter) {
  scheduler_.withdraw(waiter);
  answer(waiter, fail(Kind::cancelled, "cancelled", "The client left while the request waited for a slot."));
  act({});
}

void OutsideServer::release(std::uint64_t, bool) {
  fetch_reports();  // The one request of a half-open breaker may have gone well.
  act(scheduler_.release(now()));
}

void OutsideServer::reports_came() {
  reports_timer_.expires_after(ReportBox::kKeptFor);
  reports_timer_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    fetch_reports();
    act({});
  });
}

void OutsideServer::fetch_reports() {
  for (Model& model : models_) {
    for (const Report& report : model.seat->reports->fetch()) {
      model.figures.add(report.usage, report.times.total_ms);
      model.figures.add_latency(report.times.slot_ms);
      scheduler_.request_succeeded(report.times.slot_ms);
    }
  }
}

void OutsideServer::request_failed(std::uint64_t, const Error& why) {
  fetch_reports();
  close_gate();
  act(scheduler_.request_failed(now(), why));
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

std::shared_ptr<backends::Backend> OutsideServer::backend_of(std::string_view backend_id) const {
  const Model* found = model(backend_id);
  return found == nullptr ? nullptr : found->backend;
}

void OutsideServer::act(Actions actions) {
  perform(std::move(actions));
  if (const int slots = scheduler_.lend(now()); slots > 0) gate_->lend(kGeneration, slots);
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
      spawn(surroundings_.io.executor(), "check a server", check());
    } else if (const auto* grant = std::get_if<Grant>(&action)) {
      answer(grant->waiter, Slot{.generation = kGeneration, .is_retry = grant->is_retry});
    } else if (auto* refuse = std::get_if<Refuse>(&action)) {
      answer(refuse->waiter, std::unexpected(std::move(refuse->error)));
    }
  }
}

void OutsideServer::close_gate() { perform(scheduler_.take_back(now(), gate_->close())); }

// Bounded by its deadline, so the fleet's thread ends before this server goes.
Task<void> OutsideServer::check() {
  const SteadyTime deadline = now() + surroundings_.options.check_timeout;
  const auto alive = co_await models_.front().backend->check(surroundings_.io, deadline);
  close_gate();
  act(alive ? scheduler_.check_passed(now()) : scheduler_.check_failed(now(), alive.error()));
}

void OutsideServer::answer(WaiterId waiter, Result<Slot> result) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return;
  Answer tell = std::move(found->second);
  waiting_.erase(found);
  tell(std::move(result));
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
  timer_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    timer_set_for_ = SteadyTime::max();
    close_gate();
    act(scheduler_.time_passed(now()));
  });
}

void OutsideServer::show(Picture& picture) const {
  for (const Model& model : models_) {
    picture.views.push_back(view(model));
    picture.places.push_back({.seat = model.seat, .generation = kGeneration, .backend = model.backend});
  }
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
  view.context_tokens = model.options.context_tokens;
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
  return view;
}

}  // namespace gbgreg::fleet

#include "fleet/fleet.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include "fleet/fleet_state.h"
#include "fleet/outside_server.h"
#include "fleet/run_folder.h"

namespace gbgreg::fleet {
namespace {

// What there is to say of one that waits to take this one's place.
void tell_of_successor(const Worker& next, llm::BackendView& view) {
  if (next.state() == llm::BackendState::failed) {
    view.detail = "It goes on with its former settings, because with the new ones it does not start: " + next.detail();
  } else {
    view.detail = "It goes on with its former settings until it is ready with the new ones.";
  }
}

}  // namespace

FleetState::FleetState(Options options, const Clock& clock, BackendFactory make_backend, OutsideFactory make_outside)
    : options_(std::move(options)),
      clock_(clock),
      make_backend_(std::move(make_backend)),
      make_outside_(std::move(make_outside)),
      memory_(options_.memory),
      budget_{.memory = options_.memory.budget} {
  workers_.reserve(options_.workers.size());
  for (const WorkerOptions& worker : options_.workers) workers_.push_back({.now = make_worker(worker)});
  servers_.reserve(options_.servers.size());
  for (const ServerOptions& server : options_.servers) servers_.push_back(make_server(server));
  publish();
}

// Each has a number of its own, by which its sockets are called: one may leave while another of its id begins.
std::unique_ptr<Worker> FleetState::make_worker(const WorkerOptions& options) {
  WorkerSurroundings surroundings{.io = io_,
                                  .clock = clock_,
                                  .options = options_,
                                  .make_backend = make_backend_,
                                  .gpu_hold = gpu_hold_,
                                  .budget = budget_,
                                  .on_change = [this] { changed(); }};
  return std::make_unique<Worker>(std::move(surroundings), workers_made_++, options);
}

std::unique_ptr<OutsideServer> FleetState::make_server(const ServerOptions& options) {
  ServerSurroundings surroundings{
      .io = io_, .clock = clock_, .options = options_, .make_backend = make_outside_, .on_change = [this] {
        changed();
      }};
  return std::make_unique<OutsideServer>(std::move(surroundings), options);
}

void FleetState::run() {
  // Children are forked on this thread and the kernel ends them with it, so it lives as long as the fleet.
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "fleet");
    for (;;) {
      try {
        io_.context().run();
        return;
      } catch (const std::exception& error) {
        spdlog::error("fleet: {}", error.what());
      }
    }
  });
}

void FleetState::close() {
  guard_.reset();
  thread_.join();
  leaving_.clear();
  workers_.clear();
  servers_.clear();
}

std::shared_ptr<const Picture> FleetState::picture() const {
  const std::lock_guard lock(picture_mutex_);
  return picture_;
}

std::optional<Lease> FleetState::try_lease(std::string_view backend_id) {
  const auto seen = picture();
  const auto has_it = [&](const Picture::Place& place) { return place.seat->id == backend_id; };
  const auto place = std::ranges::find_if(seen->places, has_it);
  if (place == seen->places.end() || !place->backend) return std::nullopt;
  // One that has just become ready is not shown as such yet, and where its model is neither: the fleet's thread knows.
  const auto& view = seen->views[static_cast<std::size_t>(place - seen->places.begin())];
  if (view.state != llm::BackendState::ready) return std::nullopt;
  const auto generation = place->seat->gate->take();
  if (!generation) return std::nullopt;
  Slot slot{.generation = *generation, .backend = place->backend, .device = view.placement.device};
  Lease lease(shared_from_this(), place->seat, std::move(slot));
  // The picture is older than the slot: its backend has gone. The lease gives the slot back.
  if (*generation != place->generation) return std::nullopt;
  return lease;
}

void FleetState::start() {
  if (auto made = make_run_folder(options_.run_folder); made) remove_stale_sockets(options_.run_folder);
  // Those that have no run folder say so themselves.
  is_begun_ = true;
  for (Worker* worker : all_workers()) worker->want_ahead();
  for (auto& server : servers_) server->start();
  decide_who_is_in_memory();
  changed();
}

// Each of the deeds changes something, so this is asked again until there is nothing left to do.
void FleetState::decide_who_is_in_memory() {
  if (is_stopping_) return;
  const std::vector<Worker*> workers = all_workers();
  std::vector<Tenant> tenants;
  tenants.reserve(workers.size());
  for (Worker* worker : workers) {
    tenants.push_back(worker->tenant());
    if (tenants.back().stay == Stay::wanted && waits_for_another_to_end(*worker)) tenants.back().stay = Stay::away;
  }
  const SteadyTime now = clock_.steady();
  keep_to_a_smaller_budget(tenants, workers);
  const MemoryDecision decision = plan_memory(tenants, now, memory_);
  for (const std::size_t index : decision.load) workers[index]->start();
  for (const std::size_t index : decision.unload) workers[index]->unload();
  for (const std::size_t index : decision.refuse) workers[index]->refuse_start();
  if (!decision.next) {
    memory_timer_.cancel();
    return;
  }
  memory_timer_.expires_at(*decision.next);
  memory_timer_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) decide_who_is_in_memory();
  });
}

void FleetState::stop(std::shared_ptr<std::promise<void>> stopped) {
  stop_waiters_.push_back(std::move(stopped));
  is_stopping_ = true;
  memory_timer_.cancel();
  for (Worker* worker : all_workers()) worker->stop();
  for (auto& server : servers_) server->stop();
  changed();
}

template <class Condition>
Member* FleetState::find_member(Condition condition) const {
  const auto worker = std::ranges::find_if(workers_, [&](const WorkerPlace& place) { return condition(*place.now); });
  if (worker != workers_.end()) return worker->now.get();
  const auto server = std::ranges::find_if(servers_, [&](const auto& one) { return condition(*one); });
  return server == servers_.end() ? nullptr : server->get();
}

std::vector<Worker*> FleetState::all_workers() const {
  std::vector<Worker*> all;
  all.reserve(2 * workers_.size() + leaving_.size());
  for (const WorkerPlace& place : workers_) all.push_back(place.now.get());
  for (const WorkerPlace& place : workers_) {
    if (place.next) all.push_back(place.next.get());
  }
  for (const auto& worker : leaving_) all.push_back(worker.get());
  return all;
}

void FleetState::ask(const std::shared_ptr<LeaseRequest>& request) {
  Member* found = member(request->backend_id);
  if (found == nullptr) {
    request->complete(fail(Kind::not_found, std::string(kModelRemoved),
                           "This model is not configured, or not any more; GET /v1/models lists those that are."));
    return;
  }
  auto answer = [this, request](Result<Slot> slot) {
    if (!slot) return request->complete(std::unexpected(std::move(slot.error())));
    // From here on the slot belongs to the lease, wherever that goes: its destructor gives it back.
    auto seat = std::move(slot->seat);
    Lease lease(shared_from_this(), std::move(seat), std::move(*slot));
    request->complete(std::move(lease));
  };
  found->ask(request->backend_id, request->waiter, std::move(answer));
}

// It may have been handed on since it came.
void FleetState::withdraw(WaiterId waiter) {
  for (WorkerPlace& place : workers_) place.now->withdraw(waiter);
  for (auto& server : servers_) server->withdraw(waiter);
}

Member* FleetState::member(std::string_view backend_id) {
  return find_member([&](const Member& member) { return member.seat_of(backend_id) != nullptr; });
}

Member* FleetState::member_of(const SlotGate& gate) {
  if (Member* found = find_member([&](const Member& member) { return member.has_gate(gate); })) return found;
  const auto found = std::ranges::find_if(leaving_, [&](const auto& worker) { return worker->has_gate(gate); });
  return found == leaving_.end() ? nullptr : found->get();
}

void FleetState::changed() {
  // Once for all that happens in one turn of the loop.
  if (publish_is_due_) return;
  publish_is_due_ = true;
  post([this] {
    publish_is_due_ = false;
    settle();
  });
}

void FleetState::settle() {
  bury_the_gone();
  decide_who_is_in_memory();
  let_successors_follow();
  publish();
  const auto is_down = [](const auto& member) { return member->state() == llm::BackendState::stopped; };
  const bool all_are_down = std::ranges::all_of(all_workers(), is_down) && std::ranges::all_of(servers_, is_down);
  if (stop_waiters_.empty() || !all_are_down) return;
  for (const auto& waiter : stop_waiters_) waiter->set_value();
  stop_waiters_.clear();
}

void FleetState::publish() {
  auto picture = std::make_shared<Picture>();
  for (const WorkerPlace& place : workers_) {
    place.now->show(*picture);
    if (place.next) tell_of_successor(*place.next, picture->views.back());
  }
  for (const auto& server : servers_) server->show(*picture);
  for (const auto& view : picture->views) {
    picture->has_choice |= std::ranges::count(picture->views, view.role, &llm::BackendView::role) > 1;
  }
  const std::lock_guard lock(picture_mutex_);
  picture_ = std::move(picture);
}

void FleetState::hold_gpu(std::optional<std::string> reason) { gpu_hold_ = std::move(reason); }

std::vector<EngineWords> FleetState::engine_words() const {
  std::vector<EngineWords> words;
  words.reserve(workers_.size());
  for (const WorkerPlace& place : workers_) words.push_back(place.now->words());
  return words;
}

void FleetState::set_card_budget(std::int64_t bytes, std::string figures) {
  cards_by_driver_ = CardsByDriver{.bytes = bytes, .figures = std::move(figures)};
  if (take_budget()) changed();
}

// What counts now, of the configuration and the driver. True when it is another than before.
bool FleetState::take_budget() {
  Budget budget{.memory = options_.memory.budget};
  if (budget.memory.card == Memory::kUnbounded && cards_by_driver_) {
    budget.memory.card = cards_by_driver_->bytes;
    budget.card_figures = cards_by_driver_->figures;
  }
  const bool differs = budget_.memory != budget.memory;
  budget_ = std::move(budget);
  memory_.budget = budget_.memory;
  if (!differs) return false;
  for (Worker* worker : all_workers()) worker->budget_changed();
  return true;
}

Lease::Lease(std::shared_ptr<FleetState> fleet, std::shared_ptr<const Seat> seat, Slot slot)
    : fleet_(std::move(fleet)),
      seat_(std::move(seat)),
      generation_(slot.generation),
      backend_(std::move(slot.backend)),
      is_retry_(slot.is_retry),
      device_(std::move(slot.device)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  fleet_ = std::move(other.fleet_);
  seat_ = std::move(other.seat_);
  generation_ = other.generation_;
  backend_ = std::move(other.backend_);
  is_retry_ = other.is_retry_;
  device_ = std::move(other.device_);
  return *this;
}

Lease::~Lease() { release(); }

// The posted work names the fleet by a plain pointer: it runs on the fleet's thread or never, and a shared pointer in
// the queue that the fleet itself owns would keep both for ever.
void Lease::release() noexcept {
  const std::shared_ptr<FleetState> fleet = std::move(fleet_);
  if (!fleet) return;
  // The scheduler wants to know when a retry has ended.
  if (!is_retry_ && seat_->gate->give_back(generation_)) return;
  try {
    fleet->post([state = fleet.get(), seat = seat_, generation = generation_, is_retry = is_retry_] {
      if (Member* member = state->member_of(*seat->gate)) member->release(generation, is_retry);
    });
  } catch (const std::exception& error) {
    spdlog::error("fleet: a slot of {} could not be given back: {}", seat_->id, error.what());
  }
}

void Lease::report_success(const llm::Usage& usage, const TimesTaken& times) {
  if (!fleet_) return;
  if (!seat_->reports->add({.generation = generation_, .usage = usage, .times = times})) return;
  fleet_->post([state = fleet_.get(), seat = seat_] {
    if (Member* member = state->member_of(*seat->gate)) member->reports_came();
  });
}

void Lease::report_failure(const Error& why) { report_failure(why, &Member::request_failed); }

void Lease::report_repeated_failure(const Error& why) { report_failure(why, &Member::request_failed_again); }

void Lease::report_failure(const Error& why, void (Member::*tell)(std::uint64_t generation, const Error& why)) {
  if (!fleet_) return;
  // At once, or the next request could take a slot of a dying worker before the fleet's thread knows.
  seat_->gate->shut(generation_);
  fleet_->post([state = fleet_.get(), seat = seat_, generation = generation_, why, tell] {
    if (Member* member = state->member_of(*seat->gate)) (member->*tell)(generation, why);
  });
  release();
}

Fleet::Fleet(Options options, const Clock& clock, BackendFactory make_backend, OutsideFactory make_outside)
    : state_(
          std::make_shared<FleetState>(std::move(options), clock, std::move(make_backend), std::move(make_outside))) {
  state_->run();
}

Fleet::~Fleet() {
  stop();
  state_->close();
}

void Fleet::start() {
  state_->post([state = state_.get()] { state->start(); });
}

void Fleet::stop() {
  auto stopped = std::make_shared<std::promise<void>>();  // Shared between who waits here and who ends the workers.
  std::future<void> done = stopped->get_future();
  state_->post([state = state_.get(), stopped] { state->stop(stopped); });
  done.wait();
}

Result<Reconfigured> Fleet::reconfigure(Options options) {
  auto done = std::make_shared<std::promise<Result<Reconfigured>>>();  // Shared between who waits and who does it.
  auto answer = done->get_future();
  state_->post([state = state_.get(), done, options = std::move(options)]() mutable {
    done->set_value(state->reconfigure(std::move(options)));
  });
  return answer.get();
}

void Fleet::hold_gpu(std::optional<std::string> reason) {
  state_->post([state = state_.get(), reason = std::move(reason)]() mutable { state->hold_gpu(std::move(reason)); });
}

void Fleet::set_card_budget(std::int64_t bytes, std::string figures) {
  state_->post([state = state_.get(), bytes, figures = std::move(figures)]() mutable {
    state->set_card_budget(bytes, std::move(figures));
  });
}

std::shared_ptr<const std::vector<llm::BackendView>> Fleet::snapshot() const {
  const auto picture = state_->picture();
  return {picture, &picture->views};
}

std::shared_ptr<const std::vector<llm::BackendView>> Fleet::picture_to_choose_from() const {
  const auto picture = state_->picture();
  if (!picture->has_choice) return {picture, &picture->views};
  return std::make_shared<const std::vector<llm::BackendView>>(views());
}

std::vector<EngineWords> Fleet::engine_words() const {
  constexpr std::chrono::seconds kPatience{1};
  // Shared between who asks, and may have given up, and who answers.
  auto told = std::make_shared<std::promise<std::vector<EngineWords>>>();
  auto words = told->get_future();
  state_->post([state = state_.get(), told] { told->set_value(state->engine_words()); });
  return words.wait_for(kPatience) == std::future_status::ready ? words.get() : std::vector<EngineWords>{};
}

std::optional<Lease> Fleet::try_lease(std::string_view backend_id) { return state_->try_lease(backend_id); }

std::vector<llm::BackendView> Fleet::views() const {
  const auto picture = state_->picture();
  std::vector<llm::BackendView> views = picture->views;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const auto& place = picture->places[i];
    const int free = views[i].slots_free + place.seat->gate->free();
    views[i].slots_free = std::clamp(free, 0, views[i].slots_total);
  }
  return views;
}

std::vector<ServerView> Fleet::servers() const { return state_->picture()->servers; }

// Crossing threads by run_on() would be shorter, but Boost 1.81 emits a cancellation to a task on another thread
// through a signal that the caller may have destroyed by then (co_spawn_cancellation_handler). So the request crosses
// as a message, its answer and its withdrawal too, and each side touches only what is its own:
//  - The withdrawal is posted after the request, so it finds it waiting, or answered.
//  - An answer that is already on its way when the caller is cancelled meets `is_cancelled` on the caller's own thread,
//    and the lease in it ends there, which gives the slot back.
Task<Result<Lease>> Fleet::lease(std::string backend_id, llm::Priority priority, SteadyTime deadline, Attempt attempt,
                                 const llm::Caller* caller) {
  if (attempt == Attempt::first) {
    if (auto lease = try_lease(backend_id)) co_return std::move(*lease);
  }
  auto request = std::make_shared<LeaseRequest>();
  request->waiter = {.id = state_->next_waiter_id(),
                     .caller = caller == nullptr ? llm::CallerId{} : caller->id(),
                     .priority = priority,
                     .deadline = deadline,
                     .is_retry = attempt == Attempt::retry};
  request->backend_id = std::move(backend_id);

  auto initiate = [state = state_, request](auto handler) {
    const auto is_cancelled = std::make_shared<bool>(false);
    // The caller's loop must not end while it waits for us.
    auto executor = asio::prefer(asio::get_associated_executor(handler), asio::execution::outstanding_work.tracked);
    auto cancellation = asio::get_associated_cancellation_slot(handler);
    if (cancellation.is_connected()) {
      auto withdraw = [state, is_cancelled, id = request->waiter.id](asio::cancellation_type) {
        *is_cancelled = true;
        state->post([fleet = state.get(), id] { fleet->withdraw(id); });
      };
      cancellation.assign(std::move(withdraw));
    }
    auto arrive = [handler = std::move(handler), cancellation, is_cancelled](Result<Lease> result) mutable {
      if (cancellation.is_connected()) cancellation.clear();
      if (*is_cancelled) result = fail(Kind::cancelled, "cancelled", "The client left.");
      std::move(handler)(std::move(result));
    };
    request->complete = [executor, arrive = std::move(arrive)](Result<Lease> result) mutable {
      asio::post(executor,
                 [arrive = std::move(arrive), result = std::move(result)]() mutable { arrive(std::move(result)); });
    };
    state->post([fleet = state.get(), request] { fleet->ask(request); });
  };
  co_return co_await asio::async_initiate<const UseTask, void(Result<Lease>)>(std::move(initiate), use_task);
}

}  // namespace gbgreg::fleet

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

FleetState::FleetState(Options options, const Clock& clock, BackendFactory make_backend, OutsideFactory make_outside)
    : options_(std::move(options)),
      clock_(clock),
      make_backend_(std::move(make_backend)),
      make_outside_(std::move(make_outside)) {
  for (const WorkerOptions& worker : options_.workers) {
    WorkerSurroundings surroundings{.io = io_,
                                    .clock = clock_,
                                    .options = options_,
                                    .make_backend = make_backend_,
                                    .gpu_hold = gpu_hold_,
                                    .on_change = [this] { changed(); }};
    auto made = std::make_unique<Worker>(std::move(surroundings), static_cast<int>(workers_.size()), worker);
    workers_.push_back(made.get());
    members_.push_back(std::move(made));
  }
  for (const ServerOptions& server : options_.servers) {
    ServerSurroundings surroundings{
        .io = io_, .clock = clock_, .options = options_, .make_backend = make_outside_, .on_change = [this] {
          changed();
        }};
    members_.push_back(std::make_unique<OutsideServer>(std::move(surroundings), server));
  }
  publish();
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
  members_.clear();
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
  const auto generation = place->seat->gate->take();
  if (!generation) return std::nullopt;
  Slot slot{.generation = *generation, .backend = place->backend};
  Lease lease(shared_from_this(), place->seat, std::move(slot));
  // The picture is older than the slot: its backend has gone. The lease gives the slot back.
  if (*generation != place->generation) return std::nullopt;
  return lease;
}

void FleetState::start() {
  if (auto made = make_run_folder(options_.run_folder); made) remove_stale_sockets(options_.run_folder);
  // Those that have no run folder say so themselves.
  for (Worker* worker : workers_) worker->want_ahead();
  for (auto& member : members_) {
    if (std::ranges::find(workers_, member.get()) == workers_.end()) member->start();
  }
  decide_who_is_in_memory();
  changed();
}

// Each of the deeds changes something, so this is asked again until there is nothing left to do.
void FleetState::decide_who_is_in_memory() {
  if (is_stopping_) return;
  std::vector<Tenant> tenants;
  tenants.reserve(workers_.size());
  for (Worker* worker : workers_) tenants.push_back(worker->tenant());
  const SteadyTime now = clock_.steady();
  const MemoryDecision decision = plan_memory(tenants, now, options_.memory);
  for (const std::size_t index : decision.load) workers_[index]->start();
  for (const std::size_t index : decision.unload) workers_[index]->unload();
  for (const std::size_t index : decision.refuse) workers_[index]->refuse_start(options_.memory.budget);
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
  for (auto& member : members_) member->stop();
  changed();
}

void FleetState::ask(const std::shared_ptr<LeaseRequest>& request) {
  Member* found = member(request->backend_id);
  if (found == nullptr) {
    request->complete(fail(Kind::not_found, "backend_not_found", "No such model is configured."));
    return;
  }
  auto answer = [this, request, seat = found->seat_of(request->backend_id),
                 backend = found->backend_of(request->backend_id)](Result<Slot> slot) {
    if (!slot) return request->complete(std::unexpected(std::move(slot.error())));
    if (backend) slot->backend = backend;
    // From here on the slot belongs to the lease, wherever that goes: its destructor gives it back.
    Lease lease(shared_from_this(), seat, std::move(*slot));
    request->complete(std::move(lease));
  };
  found->ask(request->waiter, std::move(answer));
}

Member* FleetState::member(std::string_view backend_id) {
  const auto has_it = [&](const auto& member) { return member->seat_of(backend_id) != nullptr; };
  const auto found = std::ranges::find_if(members_, has_it);
  return found == members_.end() ? nullptr : found->get();
}

void FleetState::changed() {
  // Once for all that happens in one turn of the loop.
  if (publish_is_due_) return;
  publish_is_due_ = true;
  post([this] {
    publish_is_due_ = false;
    decide_who_is_in_memory();
    publish();
    const auto is_down = [](const auto& member) { return member->state() == llm::BackendState::stopped; };
    if (!stop_waiters_.empty() && std::ranges::all_of(members_, is_down)) {
      for (const auto& waiter : stop_waiters_) waiter->set_value();
      stop_waiters_.clear();
    }
  });
}

void FleetState::publish() {
  auto picture = std::make_shared<Picture>();
  picture->views.reserve(members_.size());
  picture->places.reserve(members_.size());
  for (const auto& member : members_) member->show(*picture);
  for (const auto& view : picture->views) {
    picture->has_choice |= std::ranges::count(picture->views, view.role, &llm::BackendView::role) > 1;
  }
  const std::lock_guard lock(picture_mutex_);
  picture_ = std::move(picture);
}

void FleetState::hold_gpu(std::optional<std::string> reason) { gpu_hold_ = std::move(reason); }

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
      if (Member* member = state->member(seat->id)) member->release(generation, is_retry);
    });
  } catch (const std::exception& error) {
    spdlog::error("fleet: a slot of {} could not be given back: {}", seat_->id, error.what());
  }
}

void Lease::report_success(const llm::Usage& usage, const TimesTaken& times) {
  if (!fleet_) return;
  if (!seat_->reports->add({.generation = generation_, .usage = usage, .times = times})) return;
  fleet_->post([state = fleet_.get(), seat = seat_] {
    if (Member* member = state->member(seat->id)) member->reports_came();
  });
}

void Lease::report_failure(const Error& why) { report_failure(why, &Member::request_failed); }

void Lease::report_repeated_failure(const Error& why) { report_failure(why, &Member::request_failed_again); }

void Lease::report_failure(const Error& why, void (Member::*tell)(std::uint64_t generation, const Error& why)) {
  if (!fleet_) return;
  // At once, or the next request could take a slot of a dying worker before the fleet's thread knows.
  seat_->gate->shut(generation_);
  fleet_->post([state = fleet_.get(), seat = seat_, generation = generation_, why, tell] {
    if (Member* member = state->member(seat->id)) (member->*tell)(generation, why);
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

void Fleet::hold_gpu(std::optional<std::string> reason) {
  state_->post([state = state_.get(), reason = std::move(reason)]() mutable { state->hold_gpu(std::move(reason)); });
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
      auto withdraw = [state, is_cancelled, id = request->waiter.id,
                       backend = request->backend_id](asio::cancellation_type) {
        *is_cancelled = true;
        state->post([fleet = state.get(), id, backend] {
          if (Member* member = fleet->member(backend)) member->withdraw(id);
        });
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

// What those who run the fleet ask of it: to be shown all, and to have workers obey.
#include <boost/asio/prefer.hpp>
#include <exception>

#include "fleet/fleet.h"
#include "fleet/fleet_state.h"

namespace gbgreg::fleet {
namespace {

void add_claims(llm::FleetDetails& details) {
  for (const llm::BackendDetails& backend : details.backends) {
    if (backend.hold == llm::Hold::nothing) continue;
    const bool is_used = backend.hold == llm::Hold::used;
    (is_used ? details.host.used_bytes : details.host.reserved_bytes) += backend.claim.host;
    (is_used ? details.card.used_bytes : details.card.reserved_bytes) += backend.claim.card;
  }
}

// Comes back with what `work(come_back)` hands to `come_back`, once, on the fleet's thread. Not interrupted by
// cancellation, for it takes no time (see Fleet::lease for why a cancellation does not simply cross). Work that comes
// after the fleet has ended is never done, so nobody may ask then.
template <class Value, class Work>
Task<Value> ask_on_its_thread(std::shared_ptr<FleetState> state, Work work) {
  auto initiate = [state, work = std::move(work)](auto handler) mutable {
    // The caller's loop must not end while it waits for us.
    auto executor = asio::prefer(asio::get_associated_executor(handler), asio::execution::outstanding_work.tracked);
    auto come_back = [executor, handler = std::move(handler)](Value value) mutable {
      asio::post(executor, [handler = std::move(handler), value = std::make_unique<Value>(std::move(value))]() mutable {
        std::move(handler)(std::move(value));
      });
    };
    state->post([fleet = state.get(), work = std::move(work), come_back = std::move(come_back)]() mutable {
      work(*fleet, std::move(come_back));
    });
  };
  using Signature = void(std::unique_ptr<Value>);
  auto value = co_await asio::async_initiate<const UseTask, Signature>(std::move(initiate), use_task);
  co_return std::move(*value);
}

}  // namespace

std::vector<std::int64_t> FleetState::obey(const std::vector<std::string>& backend_ids, Order order) {
  std::vector<std::int64_t> loads_before;
  loads_before.reserve(backend_ids.size());
  for (const std::string& id : backend_ids) {
    Member* found = is_stopping_ ? nullptr : member(id);
    const std::int64_t before = found == nullptr ? 0 : found->loads();
    loads_before.push_back(found != nullptr && found->obey(order) ? before : -1);
  }
  return loads_before;
}

llm::FleetDetails FleetState::details() const {
  llm::FleetDetails details;
  for (const WorkerPlace& place : workers_) place.now->describe(details.backends);
  for (const auto& server : servers_) server->describe(details.backends);
  const Memory& budget = memory_.budget;
  if (budget.host != Memory::kUnbounded) details.host.budget_bytes = budget.host;
  if (budget.card != Memory::kUnbounded) details.card.budget_bytes = budget.card;
  add_claims(details);
  return details;
}

Task<llm::FleetDetails> Fleet::details() const {
  auto look = [](FleetState& state, auto come_back) { come_back(state.details()); };
  return ask_on_its_thread<llm::FleetDetails>(state_, std::move(look));
}

Task<Obeyed> Fleet::order(std::vector<std::string> backend_ids, Order order) {
  auto obey = [backend_ids = std::move(backend_ids), order](FleetState& state, auto come_back) {
    auto loads_before = state.obey(backend_ids, order);
    // Behind what has been posted meanwhile: who comes into memory is decided, and the picture made, by then.
    state.post([&state, loads_before = std::move(loads_before), come_back = std::move(come_back)]() mutable {
      come_back(Obeyed{.loads_before = std::move(loads_before), .fleet = state.details()});
    });
  };
  return ask_on_its_thread<Obeyed>(state_, std::move(obey));
}

void Fleet::tell(std::vector<std::string> backend_ids, Order order) {
  state_->post(
      [state = state_.get(), backend_ids = std::move(backend_ids), order] { state->obey(backend_ids, order); });
}

}  // namespace gbgreg::fleet

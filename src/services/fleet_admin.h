// What those who run the fleet see of it and have it do, without HTTP. Any thread.
//
// The names of roles and models are resolved here, by the fleet's present picture; what then happens is the fleet's
// business (fleet/order.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"
#include "protocols/fleet.h"
#include "services/doctor.h"

namespace gbgreg::services {

struct FleetOrder {
  std::string role;
  std::optional<std::string> model = {};  // Else all of the role's own.
  fleet::Order order = fleet::Order::load;
  // How long to wait for it to be done; absent: not at all.
  std::optional<std::chrono::milliseconds> wait = {};
};

enum class Standing : std::uint8_t { done, under_way, failed };

class FleetAdmin {
 public:
  static constexpr std::chrono::milliseconds kWaitDefault{600'000};
  static constexpr std::chrono::milliseconds kWaitMax{3'600'000};

  // All outlive this.
  FleetAdmin(fleet::Fleet& fleet, const Doctor& doctor, const Clock& clock)
      : fleet_(fleet), doctor_(doctor), clock_(clock) {}

  Task<protocols::native::FleetReport> report() const;

  struct Ordered {
    Standing standing = Standing::done;  // Or under_way; of one that was waited for, done.
    protocols::native::FleetReport report;
  };
  // Cancelling the calling task ends the waiting, and not what was ordered.
  // Errors: not_found (no such role, or it has no such model), conflict no_own_worker (all that it names is on outside
  // servers), unavailable model_not_loaded and model_not_unloaded (with the reason), timed_out (it goes on by itself).
  Task<Result<Ordered>> order(FleetOrder order);

  // As Ollama unloads: by the name of a model or a role, and without waiting. What is told comes back: its role and its
  // model. Errors: malformed model_missing ("auto" names none), not_found, conflict no_own_worker.
  Result<llm::AnswerNotes> unload(std::string_view name);
  // To leave memory as soon as it has nothing to do. Names that are none of our own workers' mean nothing.
  void unload_when_idle(std::string_view role, std::string_view model);
  // Those that wait for this model, and have failed for want of it, try again.
  void model_fetched(std::string_view name);

 private:
  Task<Result<void>> wait_for(const FleetOrder& order, const std::vector<std::string>& workers,
                              const std::vector<std::int64_t>& loads) const;
  protocols::native::FleetReport with_cards(llm::FleetDetails fleet) const;

  fleet::Fleet& fleet_;
  const Doctor& doctor_;
  const Clock& clock_;
};

// The ids of the workers of our own that an order is for. Errors: as FleetAdmin::order. Pure.
Result<std::vector<std::string>> workers_for(std::string_view role, const std::optional<std::string>& model,
                                             std::span<const llm::BackendView> backends);

// How far a worker is with an order that wants it to have been loaded `loads` times; `view` is null when it is no more.
// Pure.
Standing standing_of(fleet::Order order, std::int64_t loads, const llm::BackendView* view);

}  // namespace gbgreg::services

// One of the fleet's: a worker of our own, or an outside server. What the fleet's thread asks of either.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "fleet/fair_queue.h"
#include "fleet/order.h"
#include "fleet/picture.h"
#include "llm/fleet_view.h"
#include "llm/llm.h"

namespace gbgreg::fleet {

// A slot of the life `generation`, which is given back by Member::release().
struct Slot {
  std::uint64_t generation = 0;
  std::shared_ptr<backends::Backend> backend = {};
  bool is_retry = false;    // A retry has it.
  std::string device = {};  // Where the model is: a picture of before may not know.
  std::shared_ptr<const Seat> seat = {};
};

using Answer = std::move_only_function<void(Result<Slot>)>;

// A request that waits and is to be answered by another, or by an error.
struct Waiting {
  Waiter waiter = {};
  std::string backend_id;
  Answer answer = {};
};

class Member {
 public:
  virtual ~Member() = default;
  virtual void start() = 0;
  virtual void stop() = 0;

  // `answer` is called exactly once, now or later, unless the waiting one is taken away. It must not call back into the
  // member.
  virtual void ask(std::string_view backend_id, const Waiter& waiter, Answer answer) = 0;
  // The request went away: its answer is `cancelled`, if it waits here.
  virtual void withdraw(WaiterId waiter) = 0;
  virtual void release(std::uint64_t generation, bool is_retry) = 0;
  // There is something in the box of reports.
  virtual void reports_came() = 0;
  // `why` is what the request failed of.
  virtual void request_failed(std::uint64_t generation, const Error& why) = 0;
  virtual void request_failed_again(std::uint64_t generation, const Error& why) = 0;

  virtual llm::BackendState state() const = 0;
  // Null when the backend of this id is not its own.
  virtual std::shared_ptr<const Seat> seat_of(std::string_view backend_id) const = 0;
  // Whether this one's slots are in that gate. Leases find it so: another of the same id may have taken its place.
  virtual bool has_gate(const SlotGate& gate) const = 0;
  virtual void show(Picture& picture) const = 0;
  // As show(), for those who run the fleet: one for each of its backends, in the same order.
  virtual void describe(std::vector<llm::BackendDetails>& out) const = 0;
  // False when it takes none: its process is not ours.
  virtual bool obey(Order) { return false; }
  // How often it has been loaded; BackendView::loads.
  virtual std::int64_t loads() const { return 0; }
};

}  // namespace gbgreg::fleet

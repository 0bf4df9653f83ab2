// The fleet: every model worker there is, kept alive, and handed out slot by slot.
//
// Fleet owns one Worker (worker.h) per configured model; a worker is a supervised `llama-server` child. All state lives
// on one thread of the fleet's own: any thread may call these functions, each hops there first, so there is no mutex
// here but the one that guards the published picture. Decisions are pure (scheduler.h); this class acts on them.
// It does not choose a model for a prompt (routing/) and does not speak to a model (backends/): a backend for each life
// of a worker is made by the factory that it is given.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/backend.h"
#include "core/core.h"
#include "fleet/options.h"
#include "fleet/order.h"
#include "fleet/report_box.h"
#include "fleet/server_view.h"
#include "llm/fleet_view.h"
#include "llm/llm.h"

namespace gbgreg::fleet {

class FleetState;
struct Seat;
struct Slot;
class Member;

// Makes what speaks to a worker at `address` ("unix:/run/x.sock") with the key `bearer`. Called on the fleet's thread;
// the result is used, and may be destroyed, on any.
using BackendFactory =
    std::function<std::shared_ptr<backends::Backend>(const std::string& address, const std::string& bearer)>;

// Makes what speaks to a model on an outside server; as BackendFactory.
using OutsideFactory =
    std::function<std::shared_ptr<backends::Backend>(const ServerOptions& server, const OutsideModelOptions& model)>;

// The right to use one slot of one backend until it is destroyed (from any thread).
class Lease {
 public:
  Lease() = default;
  Lease(std::shared_ptr<FleetState> fleet, std::shared_ptr<const Seat> seat, Slot slot);
  Lease(Lease&& other) noexcept = default;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  // Shared with the fleet: a worker may be replaced while a lease on its predecessor is still held.
  backends::Backend& backend() const { return *backend_; }

  // Where the model is, as was known when the slot was given away: a picture of before may not know it. Empty where
  // nobody says.
  const std::string& device() const { return device_; }

  // Tells the fleet how the request went, for its figures.
  void report_success(const llm::Usage& usage, const TimesTaken& times);
  // The backend died or answered garbage: the fleet waits a moment to see whether the worker is dying before it hands
  // out the next lease on it, and restarts one that fails request after request. The slot is given back, so that the
  // caller may ask for another lease while it still holds this one.
  void report_failure(const Error& why);
  // As report_failure(), for a further attempt of a request that has been reported: it counts once.
  void report_repeated_failure(const Error& why);

 private:
  void report_failure(const Error& why, void (Member::*tell)(std::uint64_t generation, const Error& why));
  void release() noexcept;

  std::shared_ptr<FleetState> fleet_;  // Empty when there is nothing to give back.
  std::shared_ptr<const Seat> seat_;
  std::uint64_t generation_ = 0;  // Which life of the worker the slot belongs to.
  std::shared_ptr<backends::Backend> backend_;
  bool is_retry_ = false;
  std::string device_;
};

// What an engine has said and shown of itself beyond its placement, for whoever looks for faults.
struct EngineWords {
  std::string id;                            // Of its backend.
  std::vector<int> architectures = {};       // As EngineLog has them.
  std::vector<std::string> complaints = {};  // Of its present life's loading, else of its last one's.
  std::int64_t card_bytes_needed = 0;        // Of its weights, what goes to a card when all layers do; 0: not known.
  std::optional<double> tokens_per_second_best = {};
};

// The code of the error (not_found) for a backend that is not there, or not any more: whoever has its id from a picture
// looks at a new one and chooses again.
inline constexpr std::string_view kModelRemoved = "model_removed";

// What a new configuration has changed, in sentences for people.
struct Reconfigured {
  std::vector<std::string> changed = {};
  std::vector<std::string> unchanged = {};  // Roles of which nothing changed.
};

// Whether a request is given to a worker for the first time, or again after one failed.
enum class Attempt : std::uint8_t { first, retry };

// What came of an order by the time that the fleet has decided what follows from it.
struct Obeyed {
  std::vector<std::int64_t> loads_before;  // Of each of the backends (BackendView::loads); -1 of one that was left out.
  llm::FleetDetails fleet;
};

class Fleet {
 public:
  // Starts its thread; starts no worker before start(). The clock must be a real one: timers follow it.
  Fleet(Options options, const Clock& clock, BackendFactory make_backend, OutsideFactory make_outside = {});
  // As stop(), and joins its thread. Nobody may call lease() any more; leases may live on.
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Starts every worker; returns at once.
  void start();
  // Ends every worker (politely, then by SIGKILL after options.stop_timeout); everybody who waits in lease() and every
  // later caller is told unavailable. Blocks until the last child is gone. Not to be called on the fleet's thread. The
  // io_contexts whose tasks used lease() must still exist, though they need not run.
  void stop();

  // Takes other workers and servers, bounds and budgets; all else of the options stays as it was. No request is
  // dropped:
  //  - A worker or server whose settings are the same goes on as it is, and so does one that can take the new ones.
  //  - Another worker takes the place of one whose process would need them from its start: when it is ready, if there
  //  is
  //    room for both, and the old one serves until then; else when the old one is gone. Who waits goes on waiting.
  //  - One that is left out takes no more requests, ends those that it has, and goes. Who waits for it is told
  //    kModelRemoved, after the picture has changed.
  // Returns before workers are ready or gone. Blocks until the fleet's thread has done it: not to be called there.
  // Errors: unavailable (the fleet is stopping).
  Result<Reconfigured> reconfigure(Options options);

  // While there is a reason, no worker that may use a GPU is started, and who waits for one is told the reason: a
  // driver that hangs takes along whoever asks it. Those that run go on. Any thread.
  void hold_gpu(std::optional<std::string> reason);

  // What models may have of the cards by the driver's word, now; as often as that changes. Without it, and without
  // memory.budget.card, the engine alone fits models to a card. The configuration's word, when there is one, counts
  // more. `figures` is told to who is refused: "the driver says 17.09 GB in all, and …". Any thread.
  void set_card_budget(std::int64_t bytes, std::string figures);

  // A picture for routing and health, in the order of the configuration. May be stale the moment it returns: choose
  // with it, never start or stop because of it. Any thread; costs one pointer copy.
  std::shared_ptr<const std::vector<llm::BackendView>> snapshot() const;
  // As snapshot(), with the free slots as they are now where a role has several backends to choose from.
  std::shared_ptr<const std::vector<llm::BackendView>> picture_to_choose_from() const;
  // The same with the free slots as they are now: for people and gauges.
  std::vector<llm::BackendView> views() const;
  // The outside servers, in the order of the configuration.
  std::vector<ServerView> servers() const;

  // Of each worker, in the order of the configuration. Blocks for a turn of the fleet's thread: not for an I/O thread,
  // and not to be called on the fleet's own. Empty when the fleet does not come to it within a second.
  std::vector<EngineWords> engine_words() const;

  // All that is known of every backend, for those who run the fleet: asked of the fleet's thread.
  Task<llm::FleetDetails> details() const;
  // Has the workers of these backends obey, each as far as it can at once; what takes longer goes on by itself. Those
  // that are no workers of our own, or no more, are left out.
  Task<Obeyed> order(std::vector<std::string> backend_ids, Order order);
  // The same for who does not wait. Any thread.
  void tell(std::vector<std::string> backend_ids, Order order);

  // Waits until the backend is ready and has a free slot, starting it if it is down. Callers take turns, and each one's
  // requests are served in order; interactive requests before batch ones, which also leave a full queue for them.
  // Retries go before all others, however full the queue is, but one at a time (scheduler.h). Cancelling the task
  // leaves the queue at once. `caller` is asked who it is before the first wait.
  // Errors: not_found (kModelRemoved), busy (the wait would be too long, or the queue is full; 429), unavailable (it
  // does not start; 503), timed_out (deadline; 504), cancelled (the task was cancelled).
  Task<Result<Lease>> lease(std::string backend_id, llm::Priority priority, SteadyTime deadline,
                            Attempt attempt = Attempt::first, const llm::Caller* caller = nullptr);
  // A lease when a slot is free at this moment and nobody waits for it; lease() begins with the same. Any thread.
  std::optional<Lease> try_lease(std::string_view backend_id);

 private:
  std::shared_ptr<FleetState> state_;  // Shared with the leases, which may outlive the fleet.
};

}  // namespace gbgreg::fleet

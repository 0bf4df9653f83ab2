// What the fleet's thread owns. Private to fleet.cc and its leases.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fleet/fleet.h"
#include "fleet/member.h"
#include "fleet/outside_server.h"
#include "fleet/picture.h"
#include "fleet/worker.h"
#include "net/io_thread.h"

namespace gbgreg::fleet {

// A request on its way through the fleet.
struct LeaseRequest {
  Waiter waiter = {};
  std::string backend_id;
  // Called once, on the fleet's thread; carries the result to the caller's.
  std::move_only_function<void(Result<Lease>)> complete = {};
};

// What models may have of the cards, by the driver's word.
struct CardsByDriver {
  std::int64_t bytes = 0;
  std::string figures;
};

class FleetState : public std::enable_shared_from_this<FleetState> {
 public:
  // A member, and the one that takes its place as soon as it is ready.
  struct WorkerPlace {
    std::unique_ptr<Worker> now;
    std::unique_ptr<Worker> next = {};
  };

  FleetState(Options options, const Clock& clock, BackendFactory make_backend, OutsideFactory make_outside);
  void run();    // Its thread begins.
  void close();  // Its thread ends; the workers have been stopped.

  std::shared_ptr<const Picture> picture() const;
  // A slot that is free now and needs nobody's leave; none when there may be one but the fleet's thread has to say.
  std::optional<Lease> try_lease(std::string_view backend_id);
  WaiterId next_waiter_id() { return ++last_waiter_id_; }

  // Any thread: has `work` run on the fleet's thread. Work that comes after close() is never run.
  template <class Work>
  void post(Work work) {
    asio::post(io_.executor(), std::move(work));
  }

  // On the fleet's thread only, from here on.
  void start();
  void stop(std::shared_ptr<std::promise<void>> stopped);
  void ask(const std::shared_ptr<LeaseRequest>& request);
  void withdraw(WaiterId waiter);
  void hold_gpu(std::optional<std::string> reason);
  void set_card_budget(std::int64_t bytes, std::string figures);
  std::vector<EngineWords> engine_words() const;
  Result<Reconfigured> reconfigure(Options options);
  // Whose slots are in the gate, one that leaves included; null when it is gone.
  Member* member_of(const SlotGate& gate);
  // See fleet_orders.cc.
  std::vector<std::int64_t> obey(const std::vector<std::string>& backend_ids, Order order);
  llm::FleetDetails details() const;

 private:
  // Null when there is none of this name.
  Member* member(std::string_view backend_id);
  // The first of which it is true, in the order of the configuration; null when it is true of none.
  template <class Condition>
  Member* find_member(Condition condition) const;
  // Ours, and not gone yet, whether or not they are members.
  std::vector<Worker*> all_workers() const;
  std::unique_ptr<Worker> make_worker(const WorkerOptions& options);
  std::unique_ptr<OutsideServer> make_server(const ServerOptions& options);

  void changed();
  void settle();
  void publish();
  void decide_who_is_in_memory();
  bool take_budget();

  // Of reconfigure(), in reconfigure.cc.
  class Reconfiguring;
  void let_successors_follow();
  void follow(WorkerPlace& place);
  void retire(std::unique_ptr<Worker> worker);
  bool goes_to_a_card_unplanned(const WorkerOptions& worker) const;
  bool waits_for_another_to_end(const Worker& worker) const;
  void keep_to_a_smaller_budget(const std::vector<Tenant>& tenants, const std::vector<Worker*>& workers);
  void bury_the_gone();

  Options options_;
  const Clock& clock_;
  const BackendFactory make_backend_;
  const OutsideFactory make_outside_;
  const net::Options net_options_;
  net::IoThread io_{0, net_options_};
  asio::executor_work_guard<Executor> guard_{io_.executor()};
  std::optional<std::string> gpu_hold_;           // The workers look at it when they start.
  MemoryPlanOptions memory_;                      // As configured, with what the driver says of the cards.
  Budget budget_;                                 // The same for the workers, in words, too.
  std::optional<CardsByDriver> cards_by_driver_;  // What it said last.
  std::vector<WorkerPlace> workers_;
  std::vector<std::unique_ptr<OutsideServer>> servers_;
  std::vector<std::unique_ptr<Worker>> leaving_;  // No longer members; destroyed when their processes are gone.
  int workers_made_ = 0;
  bool is_begun_ = false;
  bool budget_has_shrunk_ = false;  // There may be more in memory than there should be.
  std::vector<std::shared_ptr<std::promise<void>>> stop_waiters_;
  bool publish_is_due_ = false;
  bool is_stopping_ = false;
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>
      memory_timer_{io_.executor()};
  std::atomic<WaiterId> last_waiter_id_ = 0;
  mutable std::mutex picture_mutex_;
  std::shared_ptr<const Picture> picture_;  // Guarded by picture_mutex_.
  std::thread thread_;
};

}  // namespace gbgreg::fleet

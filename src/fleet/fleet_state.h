// What the fleet's thread owns. Private to fleet.cc and its leases.
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fleet/fleet.h"
#include "fleet/member.h"
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

class FleetState : public std::enable_shared_from_this<FleetState> {
 public:
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
  void hold_gpu(std::optional<std::string> reason);
  // Null when there is none of this name.
  Member* member(std::string_view backend_id);
  // See fleet_orders.cc.
  std::vector<std::int64_t> obey(const std::vector<std::string>& backend_ids, Order order);
  llm::FleetDetails details() const;

 private:
  void changed();
  void publish();
  void decide_who_is_in_memory();

  const Options options_;
  const Clock& clock_;
  const BackendFactory make_backend_;
  const OutsideFactory make_outside_;
  const net::Options net_options_;
  net::IoThread io_{0, net_options_};
  asio::executor_work_guard<Executor> guard_{io_.executor()};
  std::optional<std::string> gpu_hold_;  // The workers look at it when they start.
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Worker*> workers_;  // Those of them that are ours.
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

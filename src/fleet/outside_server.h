// An outside server and the models that are asked of it: no child process, but the same leases and the same fair queue.
//
// It acts on what its ServerScheduler decides. All its models share its slots, so they share one gate. It belongs to
// the fleet's thread; every function is called there.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "fleet/figures.h"
#include "fleet/fleet.h"
#include "fleet/member.h"
#include "fleet/options.h"
#include "fleet/server_scheduler.h"
#include "net/io_thread.h"

namespace gbgreg::fleet {

struct ServerSurroundings {
  net::IoThread& io;
  const Clock& clock;
  const Options& options;
  const OutsideFactory& make_backend;
  std::function<void()> on_change;
};

class OutsideServer final : public Member {
 public:
  OutsideServer(ServerSurroundings surroundings, const ServerOptions& options);

  void start() override;
  void stop() override;
  void ask(const Waiter& waiter, Answer answer) override;
  void withdraw(WaiterId waiter) override;
  void release(std::uint64_t generation, bool is_retry) override;
  void reports_came() override;
  void request_failed(std::uint64_t generation, const Error& why) override;
  void request_failed_again(std::uint64_t generation, const Error& why) override;
  llm::BackendState state() const override { return scheduler_.state(); }
  std::shared_ptr<const Seat> seat_of(std::string_view backend_id) const override;
  std::shared_ptr<backends::Backend> backend_of(std::string_view backend_id) const override;
  void show(Picture& picture) const override;
  void describe(std::vector<llm::BackendDetails>& out) const override;

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  static constexpr std::uint64_t kGeneration = 1;  // It has one life as far as we know.

  struct Model {
    const OutsideModelOptions& options;
    std::shared_ptr<const Seat> seat;
    std::shared_ptr<backends::Backend> backend;
    Figures figures = {};
  };

  const Model* model(std::string_view backend_id) const;
  llm::BackendView view(const Model& model) const;
  void act(Actions actions);
  void perform(Actions actions);
  void close_gate();
  Task<void> check();
  void fetch_reports();
  void answer(WaiterId waiter, Result<Slot> result);
  void set_timer();
  SteadyTime now() const { return surroundings_.clock.steady(); }

  ServerSurroundings surroundings_;
  const ServerOptions& options_;
  std::shared_ptr<SlotGate> gate_;
  std::vector<Model> models_;
  ServerScheduler scheduler_;
  llm::BackendState told_ = llm::BackendState::loading;  // The state that the log knows.
  std::unordered_map<WaiterId, Answer> waiting_;
  Timer timer_, reports_timer_;
  SteadyTime timer_set_for_ = SteadyTime::max();
};

}  // namespace gbgreg::fleet

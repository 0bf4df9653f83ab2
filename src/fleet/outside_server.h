// An outside server and the models that are asked of it: no child process, but the same leases and the same fair queue.
//
// It acts on what its ServerScheduler decides. All its models share its slots, so they share one gate. It belongs to
// the fleet's thread; every function is called there.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <memory>
#include <string>
#include <string_view>
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
  // A request that waited for a model that the server has no more.
  struct LeftOut {
    std::string model;
    Answer answer;
  };
  const ServerOptions& options() const { return options_; }
  // Takes its new settings, and the bounds that its fleet's options have now, without letting go of what it does. Gives
  // back who waited for a model that is not among them.
  std::vector<LeftOut> adopt(const ServerOptions& options);
  // Hands out no more slots. Gives back all who wait; it may be destroyed when they have been told.
  std::vector<LeftOut> retire();

  void ask(std::string_view backend_id, const Waiter& waiter, Answer answer) override;
  void withdraw(WaiterId waiter) override;
  void release(std::uint64_t generation, bool is_retry) override;
  void reports_came() override;
  void request_failed(std::uint64_t generation, const Error& why) override;
  void request_failed_again(std::uint64_t generation, const Error& why) override;
  llm::BackendState state() const override { return scheduler_.state(); }
  std::shared_ptr<const Seat> seat_of(std::string_view backend_id) const override;
  bool has_gate(const SlotGate& gate) const override { return gate_.get() == &gate; }
  void show(Picture& picture) const override;
  void describe(std::vector<llm::BackendDetails>& out) const override;

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  // By which what comes later, a timer or a check, finds this server, or that it is gone.
  using Here = std::weak_ptr<OutsideServer*>;

  struct Asking {
    std::string backend_id;
    std::string model;
    Answer answer;
  };
  struct Model {
    OutsideModelOptions options;
    std::shared_ptr<const Seat> seat;
    std::shared_ptr<backends::Backend> backend;
    Figures figures = {};
    std::optional<int> listed_tokens = {};  // Its context by the server's list …
    std::optional<int> told_tokens = {};    // … and by its answer to that question, which is better.
    bool was_asked = false;                 // That question, since the server was last found to be there.
    std::string missing = {};               // A sentence when the server does not list it.
  };

  const Model* model(std::string_view backend_id) const;
  llm::BackendView view(const Model& model) const;
  void act(Actions actions);
  void perform(Actions actions);
  void close_gate();
  Model make_model(const OutsideModelOptions& options);
  // A model of which it is to be asked how many tokens it takes.
  struct Question {
    std::string id;
    std::shared_ptr<backends::Backend> backend;
  };
  void check();
  static Task<void> ask_how_it_is(Here server, net::IoThread& io, SteadyTime deadline,
                                  std::shared_ptr<backends::Backend> backend, int identity);
  // Null when it is gone, or has become another. Not to be kept over a wait.
  static OutsideServer* find(const Here& server, int identity);
  void take_list(const protocols::ServerModels& told);
  std::vector<Question> contexts_to_ask() const;
  void take_context(std::string_view id, const Result<std::optional<int>>& told);
  void checked(Result<void> outcome);
  void fetch_reports();
  void answer(WaiterId waiter, Result<Slot> result);
  void set_timer();
  SteadyTime now() const { return surroundings_.clock.steady(); }

  ServerSurroundings surroundings_;
  ServerOptions options_;
  int identity_ = 1;  // Another when it becomes another server: then what was asked before says nothing of it.
  std::shared_ptr<SlotGate> gate_;
  std::vector<Model> models_;
  ServerScheduler scheduler_;
  llm::BackendState told_ = llm::BackendState::loading;  // The state that the log knows.
  std::unordered_map<WaiterId, Asking> waiting_;
  Timer timer_, reports_timer_;
  SteadyTime timer_set_for_ = SteadyTime::max();
  std::shared_ptr<OutsideServer*> here_ = std::make_shared<OutsideServer*>(this);  // Its own alone; others have a Here.
};

}  // namespace gbgreg::fleet

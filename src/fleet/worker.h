// One worker: a `llama-server` child, kept alive, and the requests that wait for it.
//
// It acts on what its Scheduler decides: it starts and ends the process, feeds the process's words to its EngineLog,
// and tells each waiting request its answer. Each life of the process has a socket and a key of its own.
//
// It belongs to the fleet's thread; every function is called there. Nothing blocks but a look at a few files, and for
// kReapWaitMax (process.h) at most the end of a process that is given up.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "backends/backend.h"
#include "core/core.h"
#include "fleet/engine_command.h"
#include "fleet/engine_log.h"
#include "fleet/figures.h"
#include "fleet/fleet.h"
#include "fleet/member.h"
#include "fleet/memory_plan.h"
#include "fleet/model_file.h"
#include "fleet/options.h"
#include "fleet/picture.h"
#include "fleet/process.h"
#include "fleet/scheduler.h"
#include "llm/llm.h"
#include "net/io_thread.h"

namespace gbgreg::fleet {

// What all models may have, and how the cards' part of it comes about: empty where the configuration says it.
struct Budget {
  Memory memory = {};
  std::string card_figures = {};
};

// What the worker shares with its fleet; all of it outlives the worker.
struct WorkerSurroundings {
  net::IoThread& io;
  const Clock& clock;
  const Options& options;
  const BackendFactory& make_backend;
  const std::optional<std::string>& gpu_hold;  // Why no worker may be started that may use a GPU.
  const Budget& budget;
  std::function<void()> on_change;  // Something that view() shows is different.
};

class Worker final : public Member {
 public:
  Worker(WorkerSurroundings surroundings, int index, const WorkerOptions& options);
  // Kills the process if it still runs.
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const std::string& id() const { return id_; }
  // Wakes it; whether there is memory for it is its fleet's business.
  void start() override;
  void unload();
  void restart();
  // There would not be memory for it if it were alone.
  void refuse_start();
  // What all models may have is another now: one that was refused comes in again, if it fits.
  void budget_changed();
  // Loaded ahead of need, as soon as there is room.
  void want_ahead() { is_begun_ = is_wanted_ahead_ = true; }
  // As the plan of who is in memory sees it. `tenant` reads the model's file when it is not known yet, which takes some
  // milliseconds.
  Tenant tenant();
  // The process ends politely, then by SIGKILL; state() is stopped when it is gone.
  void stop() override;

  const WorkerOptions& options() const { return options_; }
  // Settings that its process need not know, and the bounds that its fleet's options have now. compare() (changes.h)
  // says whether others differ.
  void adopt(const WorkerOptions& options);
  // All who wait, in their turns; they wait here no more.
  std::vector<Waiting> take_waiting();
  // It hands out no more slots, and its process ends when the last one is back; state() is stopped when it is gone.
  void retire();

  void ask(std::string_view backend_id, const Waiter& waiter, Answer answer) override;
  void withdraw(WaiterId waiter) override;
  void release(std::uint64_t generation, bool is_retry) override;
  // There is something in the box of reports; it is fetched in a while.
  void reports_came() override;
  void request_failed(std::uint64_t generation, const Error& why) override;
  void request_failed_again(std::uint64_t generation, const Error& why) override;

  llm::BackendState state() const override;
  // Without the slots that are free in the gate.
  llm::BackendView view() const;
  EngineWords words() const;
  const std::shared_ptr<const Seat>& seat() const { return seat_; }
  Picture::Place place() const;
  std::shared_ptr<const Seat> seat_of(std::string_view backend_id) const override {
    return backend_id == id_ ? seat_ : nullptr;
  }
  bool has_gate(const SlotGate& gate) const override { return seat_->gate.get() == &gate; }
  bool is_up() const { return scheduler_.is_up(); }
  bool is_asleep() const { return scheduler_.is_asleep(); }
  std::string detail() const { return scheduler_.detail(); }
  void show(Picture& picture) const override;
  void describe(std::vector<llm::BackendDetails>& out) const override;
  bool obey(Order order) override;
  std::int64_t loads() const override { return static_cast<std::int64_t>(scheduler_.generation()); }

 private:
  // By which what comes later, a timer or a check, finds this worker, or that it is gone.
  using Here = std::weak_ptr<Worker*>;
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

  void act(Actions actions);
  void perform(Actions actions);
  void close_gate();
  void lend_slots();
  void fetch_reports();
  void begin_life();
  Result<void> start_process();
  void end_life(const ProcessEnd& end);
  static Task<void> check_engine(Here worker, net::IoThread& io, SteadyTime deadline,
                                 std::shared_ptr<backends::Backend> backend, std::uint64_t generation);
  void engine_checked(const Result<void>& alive, std::uint64_t generation);
  Result<void> find_stored_model();
  Result<void> check_files() const;
  Result<void> check_port() const;
  Result<void> check_placement() const;
  Batches next_batches() const;
  void take_line(ChildProcess::Stream stream, std::string_view line);
  void answer(WaiterId waiter, Result<Slot> result);
  void load_as_ordered();
  Stay stay() const;
  void describe_embedder(llm::BackendView& view) const;
  void predict_memory();
  void compare_memory();
  void set_timer();
  SteadyTime now() const { return surroundings_.clock.steady(); }

  WorkerSurroundings surroundings_;
  int index_;
  WorkerOptions options_;  // Its own copy: where a stored model is may be another place at each start.
  std::string id_;
  std::shared_ptr<const Seat> seat_;
  Scheduler scheduler_;
  EngineLog log_;
  std::vector<std::string> last_complaints_;  // Of the last life that ended.
  ModelFacts facts_;                          // Of a model that embeds; read anew at each start.
  Batches batches_ = Batches::small;          // Of the present life.
  bool is_card_disproved_ = false;            // The latest life that told had layers on the processor.
  Figures figures_;
  std::unique_ptr<ChildProcess> process_;
  std::filesystem::path socket_;
  std::shared_ptr<backends::Backend> backend_;  // Of the present life; leases share it.
  std::unordered_map<WaiterId, Answer> waiting_;
  Timer timer_;
  Timer reports_timer_;
  SteadyTime timer_set_for_ = SteadyTime::max();
  SteadyTime started_at_ = {};
  std::chrono::milliseconds load_time_;  // Of the latest life, or a guess by the file's size.
  std::int64_t model_bytes_ = 0;
  std::int64_t card_weight_bytes_ = 0;  // Of the weights, what goes to a card when all layers do; 0: not known.
  std::optional<Memory> claim_;         // What it takes, or will: by the engine's word, else predicted.
  bool is_claim_measured_ = false;
  std::int64_t predicted_bytes_ = 0;  // 0 when it could not be.
  bool is_refused_ = false;           // There was not memory enough for it.
  bool is_begun_ = false;             // Before its fleet begins it does not sleep: nobody could wake it.
  bool is_wanted_ahead_ = false;
  std::optional<SteadyTime> ordered_at_;  // To be loaded: it waits for its room as somebody who asks would.
  bool leaves_when_idle_ = false;
  int busy_before_ = 0;
  SteadyTime in_since_ = {};  // Ready.
  SteadyTime used_at_ = {};
  std::shared_ptr<Worker*> here_ = std::make_shared<Worker*>(this);  // Its own alone; others have a Here.
};

}  // namespace gbgreg::fleet

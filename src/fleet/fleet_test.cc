#include "fleet/fleet.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <fstream>
#include <future>
#include <random>
#include <thread>

#include "fleet/test_port.h"

namespace gbgreg::fleet {
namespace {

Error failure() { return {.kind = Kind::backend_failed, .code = "backend_failed", .message = "It broke."}; }

namespace fs = std::filesystem;
using llm::BackendState;
using llm::BackendView;
using llm::Priority;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

constexpr auto kPatience = seconds(30);

// Speaks the part of llama-server that the fleet listens to. What it does is the first word of its "model".
constexpr const char* kFakeEngine = R"(#!/bin/sh
model=$2
read -r mode < "$model"
say() { printf '%s\n' "$1"; }  # Unlike echo it leaves the \n of the JSON alone.
state() { say ""; say "cmd_child_to_router:state:{\"state\":\"$1\",\"payload\":$2}"; }
state loading '{"stages":["text_model"],"current":"text_model","value":0.0}'
case $mode in
  broken) say '{"type":"log","time":1,"level":"error","msg":"'"$model"' is no GGUF file\n"}'; exit 1;;
  endless) exec sleep 1000;;
esac
say '{"type":"log","time":2,"level":"info","msg":"load_tensors: loading model tensors, this can take a while...\n"}'
say '{"type":"log","time":3,"level":"info","msg":"load_tensors:   CPU_Mapped model buffer size =     4.23 MiB\n"}'
state ready '{}'
while read -r line; do
  [ "$mode" != deaf ] && [ "$line" = cmd_router_to_child:exit ] && exit 0
done
exit 1
)";

class FakeBackend final : public backends::Backend {
 public:
  FakeBackend(std::string address, std::string bearer, bool hangs)
      : address(std::move(address)), bearer(std::move(bearer)), hangs(hangs) {}
  Task<Result<llm::Completion>> generate(net::IoThread&, const llm::Request&, llm::Sink&) override {
    co_return llm::Completion{};
  }
  Task<Result<int>> count_tokens(net::IoThread&, const llm::Request&) override { co_return 0; }
  Task<Result<llm::EmbedBatch>> embed(net::IoThread&, std::span<const llm::EmbedInput>, SteadyTime) override {
    co_return llm::EmbedBatch{};
  }
  Task<Result<llm::TokenIds>> tokens(net::IoThread&, std::string_view, SteadyTime) override {
    co_return llm::TokenIds{};
  }
  Task<Result<void>> post(net::IoThread&, const backends::Post&, backends::ByteSink&) override {
    co_return Result<void>{};
  }
  Task<Result<void>> check(net::IoThread&, SteadyTime) override {
    if (hangs) co_return fail(Kind::timed_out, "backend_silent", "");
    co_return Result<void>{};
  }
  std::string address, bearer;
  bool hangs;
};

const FakeBackend& fake(const Lease& lease) { return dynamic_cast<const FakeBackend&>(lease.backend()); }

// One request of a client, on an I/O thread; it can be cancelled as a session does it.
class Ask {
 public:
  Ask(Fleet& fleet, IoContext& io, std::string id, Priority priority = Priority::interactive,
      milliseconds patience = kPatience, Attempt attempt = Attempt::first)
      : io_(io), signal_(std::make_shared<asio::cancellation_signal>()) {
    std::promise<Result<Lease>> promise;
    answer_ = promise.get_future();
    // co_spawn takes the slot when it is called, so it is called where it is emitted.
    asio::post(io_, [this, &fleet, id = std::move(id), priority, patience, attempt, promise = std::move(promise),
                     signal = signal_]() mutable {
      const SteadyTime deadline = std::chrono::steady_clock::now() + patience;
      auto task = ask(fleet, std::move(id), priority, deadline, attempt, std::move(promise));
      // The task looks at its signal to its very end, which comes after the answer that ends this object.
      auto ended = [signal](const std::exception_ptr&) {};
      asio::co_spawn(io_.get_executor(), std::move(task),
                     asio::bind_cancellation_slot(signal->slot(), std::move(ended)));
    });
  }
  void cancel() {
    asio::post(io_, [signal = signal_] { signal->emit(asio::cancellation_type::terminal); });
  }
  bool is_answered() const { return answer_.wait_for(seconds(0)) == std::future_status::ready; }
  Result<Lease> answer() {
    if (answer_.wait_for(kPatience) != std::future_status::ready) return fail(Kind::internal, "no_answer", "");
    return answer_.get();
  }

 private:
  static Task<void> ask(Fleet& fleet, std::string id, Priority priority, SteadyTime deadline, Attempt attempt,
                        std::promise<Result<Lease>> promise) {
    promise.set_value(co_await fleet.lease(std::move(id), priority, deadline, attempt));
  }

  IoContext& io_;
  std::shared_ptr<asio::cancellation_signal> signal_;  // Shared with the posts that are on their way.
  std::future<Result<Lease>> answer_;
};

class FleetTest : public testing::Test {
 public:
  FleetTest() {
    std::string name = fs::temp_directory_path() / "gbgreg-XXXXXX";
    base_ = ::mkdtemp(name.data());
    options_.engine = base_ / "fake_engine.sh";
    std::ofstream(options_.engine) << kFakeEngine;
    fs::permissions(options_.engine, fs::perms::owner_all);
    options_.run_folder = base_ / "run";
    options_.restart_delay_min = milliseconds(1);
    options_.restart_delay_max = milliseconds(20);
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      threads_[i] = std::thread([&io = ios_[i]] { io.run(); });
    }
  }
  ~FleetTest() override {
    fleet_.reset();
    guards_.clear();
    for (std::thread& thread : threads_) thread.join();
    fs::remove_all(base_);
  }

 protected:
  // A worker "role/model" whose engine behaves as `mode` says; an empty mode makes no model file.
  void add_worker(const std::string& role, const std::string& mode = "ready", int slots = 2) {
    WorkerOptions worker{.role = role, .model = "model", .model_file = base_ / (role + ".gguf")};
    worker.slots = slots;
    if (!mode.empty()) std::ofstream(worker.model_file) << mode << "\n";
    options_.workers.push_back(std::move(worker));
  }
  Fleet& make_fleet() {
    auto make_backend = [this](const std::string& address, const std::string& bearer) {
      if (backend_throws_) throw std::runtime_error("no more memory");
      const bool hangs = first_life_hangs_ && address.ends_with("-1.sock");
      return std::make_shared<FakeBackend>(address, bearer, hangs);
    };
    fleet_ = std::make_unique<Fleet>(options_, clock_, make_backend);
    return *fleet_;
  }
  Fleet& start_fleet() {
    make_fleet().start();
    return *fleet_;
  }
  BackendView view(std::size_t index = 0) { return fleet_->views().at(index); }

  template <class Condition>
  bool until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
  bool until_state(BackendState state) {
    return until([&] { return view().state == state; });
  }
  bool until_free(int slots) {
    return until([&] { return view().slots_free == slots; });
  }
  bool until_queued(int requests) {
    return until([&] { return view().queued == requests; });
  }
  Result<Lease> lease(const std::string& id) {
    Ask ask(*fleet_, ios_[0], id);
    return ask.answer();
  }

  fs::path base_;
  SystemClock clock_;
  Options options_;
  bool first_life_hangs_ = false;
  std::atomic<bool> backend_throws_ = false;
  std::array<IoContext, 2> ios_;
  std::vector<asio::executor_work_guard<Executor>> guards_{asio::make_work_guard(ios_[0]),
                                                           asio::make_work_guard(ios_[1])};
  std::array<std::thread, 2> threads_;
  std::unique_ptr<Fleet> fleet_;
};

TEST_F(FleetTest, StartsNothingBeforeItIsTold) {
  add_worker("technical");
  make_fleet();
  EXPECT_EQ(view().id, "technical/model");
  EXPECT_EQ(view().state, BackendState::stopped);
  EXPECT_FALSE(view().process_id);
}

TEST_F(FleetTest, BringsItsWorkersUpAndSaysWhereTheyRun) {
  add_worker("technical");
  add_worker("documentation");
  start_fleet();
  ASSERT_TRUE(until([&] { return view(0).state == BackendState::ready && view(1).state == BackendState::ready; }));
  EXPECT_EQ(view().placement.device, "CPU");
  EXPECT_EQ(view().slots_free, 2);
  EXPECT_EQ(view().detail, "");
  EXPECT_NE(view(0).process_id, view(1).process_id);
  struct stat status{};
  ASSERT_EQ(::stat(options_.run_folder.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & ALLPERMS, static_cast<mode_t>(S_IRWXU));
}

TEST_F(FleetTest, ShowsWhichOfItsModelsEmbed) {
  add_worker("texts");
  add_worker("vectors");
  options_.workers[1].embeds = true;
  options_.workers[1].is_demo = true;
  options_.workers[1].dimensions_min = 8;
  options_.workers[1].context_tokens = 300;
  make_fleet();
  const auto views = fleet_->snapshot();
  EXPECT_FALSE(views->at(0).embeds);
  EXPECT_TRUE(views->at(1).embeds);
  EXPECT_EQ(views->at(1).dimensions_min, 8);
  EXPECT_EQ(views->at(1).context_tokens, 300);
  EXPECT_THAT(views->at(1).detail, HasSubstr("its vectors"));
}

TEST_F(FleetTest, LeasesASlotWithTheAddressAndKeyOfTheWorker) {
  add_worker("technical");
  start_fleet();
  auto lease_result = lease("technical/model");
  ASSERT_TRUE(lease_result) << lease_result.error().message;
  EXPECT_EQ(fake(*lease_result).address, "unix:" + (options_.run_folder / "w0-1.sock").string());
  EXPECT_EQ(fake(*lease_result).bearer.size(), 64U);
  EXPECT_TRUE(until_free(1));
  *lease_result = Lease();
  EXPECT_TRUE(until_free(2));
}

TEST_F(FleetTest, AWorkerWithAPortIsSpokenToThere) {
  const FreePort port;
  add_worker("technical");
  options_.workers[0].port = port.number();
  start_fleet();
  EXPECT_EQ(view().port, port.number());
  const auto lease_result = lease("technical/model");
  ASSERT_TRUE(lease_result) << lease_result.error().message;
  EXPECT_EQ(fake(*lease_result).address, "127.0.0.1:" + std::to_string(port.number()));
  EXPECT_EQ(fake(*lease_result).bearer.size(), 64U);
}

TEST_F(FleetTest, AWorkerWhosePortIsTakenSaysSoAndStartsWhenItIsFree) {
  FreePort port;
  port.listen();
  add_worker("technical");
  options_.workers[0].port = port.number();
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, HasSubstr("Port " + std::to_string(port.number()) + " of the role technical is taken"));
  port.close();
  EXPECT_TRUE(until_state(BackendState::ready));
}

TEST_F(FleetTest, KnowsOnlyItsOwnBackends) {
  add_worker("technical");
  start_fleet();
  EXPECT_EQ(lease("technical/other").error().kind, Kind::not_found);
}

TEST_F(FleetTest, StartsAStoppedWorkerForARequest) {
  add_worker("technical");
  make_fleet();
  EXPECT_TRUE(lease("technical/model"));
}

TEST_F(FleetTest, LetsARequestWaitForASlot) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  Ask second(*fleet_, ios_[1], "technical/model", Priority::batch);
  ASSERT_TRUE(until_queued(1));
  Ask third(*fleet_, ios_[0], "technical/model");
  ASSERT_TRUE(until_queued(2));
  EXPECT_FALSE(second.is_answered());
  *first = Lease();
  auto served = third.answer();  // Interactive goes first.
  ASSERT_TRUE(served);
  EXPECT_FALSE(second.is_answered());
  *served = Lease();
  EXPECT_TRUE(second.answer());
}

TEST_F(FleetTest, RefusesWhenTheQueueIsFullAndWhenTimeIsUp) {
  options_.queue_max = 1;
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto first = lease("technical/model");
  ASSERT_TRUE(first);
  Ask hurried(*fleet_, ios_[0], "technical/model", Priority::interactive, milliseconds(200));
  ASSERT_TRUE(until_queued(1));
  const auto refused = lease("technical/model");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::busy);
  EXPECT_TRUE(refused.error().retry_after_seconds);
  EXPECT_EQ(hurried.answer().error().kind, Kind::timed_out);
}

TEST_F(FleetTest, TakesARequestThatWasCancelledOutOfTheQueue) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  Ask leaving(*fleet_, ios_[1], "technical/model");
  Ask staying(*fleet_, ios_[1], "technical/model");
  ASSERT_TRUE(until_queued(2));
  leaving.cancel();
  EXPECT_EQ(leaving.answer().error().kind, Kind::cancelled);
  EXPECT_TRUE(until_queued(1));
  *first = Lease();
  EXPECT_TRUE(staying.answer());
}

TEST_F(FleetTest, LosesNoSlotWhenGrantsAndCancellationsCross) {
  add_worker("technical", "ready", 4);
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  std::mt19937 random(11);
  for (int round = 0; round < 150; ++round) {
    constexpr std::size_t kAsks = 12;
    std::vector<std::unique_ptr<Ask>> asks;
    asks.reserve(kAsks);
    for (std::size_t i = 0; i < kAsks; ++i) {
      asks.push_back(std::make_unique<Ask>(*fleet_, ios_[i % 2], "technical/model"));
    }
    for (auto& ask : asks) {
      if (random() % 2 == 0) ask->cancel();
    }
    // Whoever has been served gives its slot back at once, in whatever order that happens.
    ASSERT_TRUE(until([&] {
      std::erase_if(asks, [](const auto& ask) {
        if (!ask->is_answered()) return false;
        const auto answer = ask->answer();
        EXPECT_TRUE(answer || answer.error().kind == Kind::cancelled) << answer.error().code;
        return true;
      });
      return asks.empty();
    }));
  }
  EXPECT_TRUE(until_free(4));
  EXPECT_TRUE(until_queued(0));
}

TEST_F(FleetTest, ServesTheWaitingWithANewLifeWhenItsWorkerIsKilled) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto old_life = lease("technical/model");
  ASSERT_TRUE(old_life);
  Ask waiting(*fleet_, ios_[1], "technical/model");
  ASSERT_TRUE(until_queued(1));
  ASSERT_EQ(::kill(*view().process_id, SIGKILL), 0);
  auto new_life = waiting.answer();
  ASSERT_TRUE(new_life) << new_life.error().message;
  EXPECT_EQ(fake(*new_life).address, "unix:" + (options_.run_folder / "w0-2.sock").string());
  EXPECT_NE(fake(*new_life).bearer, fake(*old_life).bearer);
  EXPECT_TRUE(until([&] { return view().restarts == 1 && view().slots_free == 0; }));

  *old_life = Lease();  // Of a life that is over: it frees nothing.
  Ask next(*fleet_, ios_[0], "technical/model");
  ASSERT_TRUE(until_queued(1));
  EXPECT_FALSE(next.is_answered());
  *new_life = Lease();
  EXPECT_TRUE(next.answer());
}

TEST_F(FleetTest, SendsARequestThatFoundItsWorkerDeadToTheNextLife) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  ASSERT_EQ(::kill(*view().process_id, SIGKILL), 0);
  first->report_failure(failure());  // Perhaps before the fleet knows; the old lease is still held.
  const auto again = lease("technical/model");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_THAT(fake(*again).address, HasSubstr("w0-2.sock"));
}

TEST_F(FleetTest, GivesASlotToTheNextRetryWhenTheOneBeforeItIsDone) {
  add_worker("technical");
  start_fleet();
  Ask first(*fleet_, ios_[0], "technical/model", Priority::interactive, kPatience, Attempt::retry);
  auto running = first.answer();
  ASSERT_TRUE(running);
  Ask second(*fleet_, ios_[0], "technical/model", Priority::interactive, kPatience, Attempt::retry);
  ASSERT_TRUE(until_queued(1));
  EXPECT_TRUE(lease("technical/model"));  // The other slot is free, but not for it.
  EXPECT_FALSE(second.is_answered());
  Lease moved = std::move(*running);  // It knows what it is wherever it goes.
  moved.report_failure(failure());
  EXPECT_TRUE(second.answer());
}

TEST_F(FleetTest, RestartsAWorkerThatFailsRequestAfterRequest) {
  options_.failures_until_restart = 2;
  add_worker("technical");
  start_fleet();
  for (int i = 0; i < 2; ++i) {
    auto failed = lease("technical/model");
    ASSERT_TRUE(failed);
    failed->report_failure(failure());
  }
  EXPECT_TRUE(until([&] { return view().restarts == 1 && view().state == BackendState::ready; }));
}

TEST_F(FleetTest, RestartsAWorkerThatHangsAndServesTheWaitingWithTheNextLife) {
  options_.check_interval = milliseconds(1);
  first_life_hangs_ = true;
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto hanging = lease("technical/model");
  ASSERT_TRUE(hanging);
  const auto next = lease("technical/model");
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_THAT(fake(*next).address, HasSubstr("w0-2.sock"));
  EXPECT_TRUE(until([&] { return view().restarts == 1; }));
}

TEST_F(FleetTest, CountsARequestThatFailedSeveralTimesOnce) {
  options_.failures_until_restart = 2;
  add_worker("technical");
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  first->report_failure(failure());
  for (int i = 0; i < 3; ++i) {
    auto again = lease("technical/model");
    ASSERT_TRUE(again);
    again->report_repeated_failure(failure());
  }
  EXPECT_THAT(fake(*lease("technical/model")).address, HasSubstr("w0-1.sock"));
  EXPECT_EQ(view().restarts, 0);
}

TEST_F(FleetTest, ShowsTheFiguresOfItsAnswers) {
  add_worker("technical");
  start_fleet();
  auto answered = lease("technical/model");
  ASSERT_TRUE(answered);
  answered->report_success({.completion_tokens = 50, .generation_ms = 500}, {.slot_ms = 520, .total_ms = 620});
  ASSERT_TRUE(until([&] { return view().tokens_per_second.has_value(); }));
  EXPECT_DOUBLE_EQ(*view().tokens_per_second, 100);
  EXPECT_DOUBLE_EQ(*view().total_p95_ms, 620);
}

TEST_F(FleetTest, SaysWhyAModelDoesNotLoad) {
  options_.restart_delay_max = milliseconds(5);
  add_worker("technical", "broken");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_EQ(view().detail,
            "The engine exited with status 1 while loading technical.gguf; its last words: technical.gguf is no GGUF "
            "file.");
  const auto refused = lease("technical/model");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::unavailable);
  std::ofstream(base_ / "technical.gguf") << "ready\n";
  EXPECT_TRUE(until_state(BackendState::ready));
}

TEST_F(FleetTest, SaysWhichFileIsMissingAndHealsWhenItComes) {
  add_worker("technical", "");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, StartsWith("The model file technical.gguf is missing"));
  std::ofstream(base_ / "new") << "ready\n";
  fs::rename(base_ / "new", base_ / "technical.gguf");
  EXPECT_TRUE(until_state(BackendState::ready));
  EXPECT_EQ(view().restarts, 0);
}

TEST_F(FleetTest, SaysThatTheEngineIsMissingOrNoProgram) {
  add_worker("technical");
  fs::remove(options_.engine);
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, StartsWith("The engine program fake_engine.sh is missing"));
  {
    std::ofstream(base_ / "text") << "no program";
    fs::permissions(base_ / "text", fs::perms::owner_all);
    fs::rename(base_ / "text", options_.engine);
  }
  EXPECT_TRUE(until([&] { return view().detail.starts_with("The engine program cannot be executed (Exec format"); }));
}

TEST_F(FleetTest, TriesAgainWhenStartingThrew) {
  backend_throws_ = true;
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, StartsWith("The engine could not be started"));
  EXPECT_FALSE(view().process_id);
  backend_throws_ = false;
  EXPECT_TRUE(until_state(BackendState::ready));
  EXPECT_EQ(view().restarts, 0);
}

TEST_F(FleetTest, EndsItsWorkersPolitelyAndRefusesEverybody) {
  options_.stop_timeout = kPatience;  // Would be noticed.
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto held = lease("technical/model");
  ASSERT_TRUE(held);
  Ask waiting(*fleet_, ios_[1], "technical/model");
  ASSERT_TRUE(until_queued(1));
  const pid_t process = *view().process_id;
  fleet_->stop();
  EXPECT_EQ(::kill(process, 0), -1);
  EXPECT_EQ(waiting.answer().error().kind, Kind::unavailable);
  EXPECT_EQ(lease("technical/model").error().kind, Kind::unavailable);
  EXPECT_EQ(view().state, BackendState::stopped);
}

TEST_F(FleetTest, KillsAWorkerThatDoesNotListen) {
  options_.stop_timeout = milliseconds(50);
  add_worker("technical", "deaf");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  const pid_t process = *view().process_id;
  fleet_->stop();
  EXPECT_EQ(::kill(process, 0), -1);
}

TEST_F(FleetTest, KillsAWorkerThatStillLoadsAtOnce) {
  options_.stop_timeout = kPatience;
  add_worker("technical", "endless");
  start_fleet();
  ASSERT_TRUE(until([&] { return view().process_id.has_value(); }));
  const pid_t process = *view().process_id;
  fleet_->stop();
  EXPECT_EQ(::kill(process, 0), -1);
}

TEST_F(FleetTest, EndsALoadThatGetsNowhere) {
  options_.load_timeout = milliseconds(50);
  add_worker("technical", "endless");
  start_fleet();
  EXPECT_TRUE(until_state(BackendState::failed));
  EXPECT_EQ(view().detail, "The engine did not get on with loading technical.gguf for 50 ms and was ended.");
}

TEST_F(FleetTest, MayBeOutlivedByALease) {
  add_worker("technical");
  start_fleet();
  auto held = lease("technical/model");
  ASSERT_TRUE(held);
  fleet_.reset();
  EXPECT_THAT(fake(*held).address, StartsWith("unix:"));
  held->report_failure(failure());
}

}  // namespace
}  // namespace gbgreg::fleet

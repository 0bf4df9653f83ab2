#include <gmock/gmock.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "fleet/fleet.h"

namespace gbgreg::fleet {
namespace {

namespace fs = std::filesystem;
using llm::BackendState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kPatience = seconds(30);

// Says what llama-server says while it loads, at once, and that it takes 4.23 MiB.
constexpr const char* kFakeEngine = R"(#!/bin/sh
printf '{"type":"log","time":1,"level":"info","msg":"srv  init_listene: api_keys: ****%s\\n"}\n' "${LLAMA_API_KEY#????????????????????????????????????????????????????????????}"
printf '{"type":"log","time":2,"level":"info","msg":"load_tensors:   CPU_Mapped model buffer size =     4.23 MiB\\n"}\n'
printf '\ncmd_child_to_router:state:{"state":"ready","payload":{}}\n'
printf '{"type":"log","time":3,"level":"warn","msg":"a line that may quote a request\\n"}\n'
while read -r line; do
  [ "$line" = cmd_router_to_child:exit ] && exit 0
done
exit 1
)";
constexpr std::int64_t kModelBytes = static_cast<std::int64_t>(4.23 * 1024 * 1024);

class NoBackend final : public backends::Backend {
 public:
  Task<Result<llm::Completion>> generate(net::IoThread&, const llm::Request&, llm::Sink&) override {
    co_return llm::Completion{};
  }
  Task<Result<int>> count_tokens(net::IoThread&, const llm::Request&) override { co_return 0; }
  Task<Result<llm::EmbedBatch>> embed(net::IoThread&, std::span<const llm::EmbedInput>, SteadyTime,
                                      std::string_view) override {
    co_return llm::EmbedBatch{};
  }
  Task<Result<llm::TokenIds>> tokens(net::IoThread&, std::string_view, SteadyTime) override {
    co_return llm::TokenIds{};
  }
  Task<Result<void>> post(net::IoThread&, const backends::Post&, backends::ByteSink&) override {
    co_return Result<void>{};
  }
  Task<Result<protocols::ServerModels>> check(net::IoThread&, SteadyTime) override {
    co_return protocols::ServerModels{};
  }
};

class FleetOrdersTest : public testing::Test {
 public:
  FleetOrdersTest() {
    std::string name = fs::temp_directory_path() / "gbgreg-XXXXXX";
    base_ = ::mkdtemp(name.data());
    options_.engine = base_ / "fake_engine.sh";
    std::ofstream(options_.engine) << kFakeEngine;
    fs::permissions(options_.engine, fs::perms::owner_all);
    options_.run_folder = base_ / "run";
    thread_ = std::thread([this] { io_.run(); });
  }
  ~FleetOrdersTest() override {
    fleet_.reset();
    guard_.reset();
    thread_.join();
    fs::remove_all(base_);
  }

 protected:
  void make_file(const std::string& role) {
    std::ofstream(base_ / "new") << "model";
    fs::rename(base_ / "new", base_ / (role + ".gguf"));
  }
  WorkerOptions& add_worker(const std::string& role) {
    options_.workers.push_back({.role = role, .model = "m", .model_file = base_ / (role + ".gguf")});
    options_.workers.back().slots = 1;
    return options_.workers.back();
  }
  void start_fleet() {
    auto make = [](const std::string&, const std::string&) { return std::make_shared<NoBackend>(); };
    auto outside = [](const ServerOptions&, const OutsideModelOptions&) { return std::make_shared<NoBackend>(); };
    fleet_ = std::make_unique<Fleet>(options_, clock_, make, outside);
    fleet_->start();
  }
  // What a task of the fleet's comes to, on a thread that is not the fleet's.
  template <class T>
  T result_of(Task<T> task) {
    std::promise<T> promise;
    auto answer = promise.get_future();
    asio::co_spawn(io_.get_executor(), std::move(task), [&](const std::exception_ptr& failure, T value) {
      EXPECT_FALSE(failure);
      promise.set_value(std::move(value));
    });
    EXPECT_EQ(answer.wait_for(kPatience), std::future_status::ready);
    return answer.get();
  }
  Obeyed order(const std::string& id, Order what) { return result_of(fleet_->order({id}, what)); }
  llm::FleetDetails details() { return result_of(fleet_->details()); }
  Result<Lease> lease(const std::string& id) {
    return result_of(fleet_->lease(id, llm::Priority::interactive, clock_.steady() + kPatience));
  }
  BackendState state(std::size_t index = 0) { return fleet_->snapshot()->at(index).state; }
  template <class Condition>
  bool until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool until_state(BackendState wanted, std::size_t index = 0) {
    return until([&] { return state(index) == wanted; });
  }

  fs::path base_;
  SystemClock clock_;
  Options options_;
  IoContext io_;
  asio::executor_work_guard<Executor> guard_ = asio::make_work_guard(io_);
  std::thread thread_;
  std::unique_ptr<Fleet> fleet_;
};

TEST_F(FleetOrdersTest, OneThatIsUnloadedSleepsUntilSomebodyAsks) {
  add_worker("technical");
  make_file("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  EXPECT_THAT(order("technical/m", Order::unload).loads_before, ElementsAre(1));
  ASSERT_TRUE(until_state(BackendState::sleeping));
  // Whatever makes the fleet decide anew does not wake it.
  order("technical/m", Order::unload);
  order("technical/m", Order::look_again);
  EXPECT_EQ(details().backends[0].view.state, BackendState::sleeping);
  EXPECT_EQ(details().backends[0].view.loads, 1);
  EXPECT_TRUE(lease("technical/m"));
  EXPECT_EQ(details().backends[0].view.loads, 2);
}

TEST_F(FleetOrdersTest, OneThatIsUnloadedAnswersFirst) {
  add_worker("technical");
  make_file("technical");
  start_fleet();
  auto held = lease("technical/m");
  ASSERT_TRUE(held);
  const Obeyed obeyed = order("technical/m", Order::unload);
  EXPECT_TRUE(obeyed.fleet.backends[0].is_leaving);
  EXPECT_EQ(obeyed.fleet.backends[0].slots_busy, 1);
  EXPECT_EQ(obeyed.fleet.backends[0].view.state, BackendState::ready);
  EXPECT_EQ(obeyed.fleet.backends[0].view.detail, "m ends what it is doing and then leaves memory.");
  *held = Lease();
  EXPECT_TRUE(until_state(BackendState::sleeping));
}

TEST_F(FleetOrdersTest, LoadingWakesOneThatSleepsAndLeavesOneThatIsReadyAlone) {
  add_worker("technical");
  make_file("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  EXPECT_EQ(order("technical/m", Order::load).fleet.backends[0].view.loads, 1);
  EXPECT_EQ(state(), BackendState::ready);
  order("technical/m", Order::unload);
  ASSERT_TRUE(until_state(BackendState::sleeping));
  EXPECT_EQ(order("technical/m", Order::load).fleet.backends[0].view.loads, 2);
  EXPECT_TRUE(until_state(BackendState::ready));
}

TEST_F(FleetOrdersTest, OneThatLeavesComesBackWhenItIsToBeLoaded) {
  add_worker("technical");
  make_file("technical");
  start_fleet();
  auto held = lease("technical/m");
  ASSERT_TRUE(held);
  order("technical/m", Order::unload);
  order("technical/m", Order::load);
  EXPECT_TRUE(details().backends[0].is_leaving);
  *held = Lease();
  EXPECT_TRUE(until([&] {
    const auto view = fleet_->snapshot()->front();
    return view.state == BackendState::ready && view.loads == 2;
  }));
}

TEST_F(FleetOrdersTest, LoadingMakesRoomAsARequestDoes) {
  add_worker("technical");
  add_worker("documentation");
  make_file("technical");
  make_file("documentation");
  options_.memory.budget.host = kModelBytes + kModelBytes / 2;
  start_fleet();
  // What these files need is not known before they have been loaded once.
  ASSERT_TRUE(until([&] { return state(0) == BackendState::ready && state(1) == BackendState::ready; }));
  order("technical/m", Order::unload);
  ASSERT_TRUE(until_state(BackendState::sleeping, 0));
  const Obeyed obeyed = order("technical/m", Order::load);
  EXPECT_EQ(obeyed.fleet.backends[0].view.state, BackendState::loading) << "it waits for its room";
  EXPECT_EQ(obeyed.fleet.backends[0].view.detail, "m waits until there is memory for it.");
  EXPECT_TRUE(obeyed.fleet.backends[1].is_leaving);
  EXPECT_TRUE(until([&] { return state(0) == BackendState::ready && state(1) == BackendState::sleeping; }));
  const llm::FleetDetails after = details();
  EXPECT_EQ(after.host.budget_bytes, options_.memory.budget.host);
  EXPECT_EQ(after.host.used_bytes, kModelBytes);
  EXPECT_EQ(after.host.reserved_bytes, 0);
  EXPECT_EQ(after.card.budget_bytes, std::nullopt);
}

TEST_F(FleetOrdersTest, OneThatWouldNeverFitIsRefusedWithTheReasonAndForgivenByTheNextOrder) {
  add_worker("technical");
  make_file("technical");
  options_.memory.budget.host = kModelBytes / 2;
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready)) << "its need was not known";
  order("technical/m", Order::unload);
  ASSERT_TRUE(until_state(BackendState::sleeping));
  const Obeyed obeyed = order("technical/m", Order::load);
  EXPECT_EQ(obeyed.fleet.backends[0].view.state, BackendState::failed);
  EXPECT_THAT(obeyed.fleet.backends[0].view.detail, HasSubstr("raise memory.ram_bytes_max"));
  EXPECT_EQ(order("technical/m", Order::unload).fleet.backends[0].view.state, BackendState::sleeping);
}

TEST_F(FleetOrdersTest, OneWhoseFileWasMissingIsTriedAtOnce) {
  for (const Order what : {Order::load, Order::restart, Order::look_again}) {
    SCOPED_TRACE(static_cast<int>(what));
    fs::remove(base_ / "technical.gguf");
    options_.workers.clear();
    add_worker("technical");
    start_fleet();
    ASSERT_TRUE(until_state(BackendState::failed));
    EXPECT_EQ(order("technical/m", what).fleet.backends[0].view.state, BackendState::failed) << "it still is";
    make_file("technical");
    // The next try by itself comes seconds later.
    EXPECT_NE(order("technical/m", what).fleet.backends[0].view.state, BackendState::failed);
    EXPECT_TRUE(until_state(BackendState::ready));
  }
}

TEST_F(FleetOrdersTest, ARestartBeginsANewLifeAfterTheAnswersOfTheOldOne) {
  add_worker("technical");
  make_file("technical");
  start_fleet();
  auto held = lease("technical/m");
  ASSERT_TRUE(held);
  const int process = *fleet_->snapshot()->front().process_id;
  EXPECT_THAT(order("technical/m", Order::restart).loads_before, ElementsAre(1));
  EXPECT_EQ(fleet_->snapshot()->front().process_id, process);
  *held = Lease();
  ASSERT_TRUE(until([&] { return fleet_->snapshot()->front().loads == 2 && state() == BackendState::ready; }));
  EXPECT_NE(fleet_->snapshot()->front().process_id, process);
  EXPECT_EQ(fleet_->snapshot()->front().restarts, 0) << "nothing broke down";
}

TEST_F(FleetOrdersTest, OneThatIsToLeaveWhenItIsIdleServesThoseWhoWaitFirst) {
  add_worker("technical");
  make_file("technical");
  start_fleet();
  auto held = lease("technical/m");
  ASSERT_TRUE(held);
  fleet_->tell({"technical/m"}, Order::unload_when_idle);
  EXPECT_EQ(details().backends[0].view.state, BackendState::ready);
  EXPECT_FALSE(details().backends[0].is_leaving);
  held->report_success({}, {.slot_ms = 1, .total_ms = 1});
  *held = Lease();
  ASSERT_TRUE(until_state(BackendState::sleeping));
  // Once only: when it has been woken it stays.
  ASSERT_TRUE(lease("technical/m"));
  order("technical/m", Order::look_again);
  EXPECT_EQ(details().backends[0].view.state, BackendState::ready);
}

TEST_F(FleetOrdersTest, LeavesOutWhatIsNoWorkerOfItsOwn) {
  add_worker("technical");
  make_file("technical");
  options_.servers.push_back({.name = "den", .url = *net::parse_server_url("http://127.0.0.1:9")});
  options_.servers.back().models.push_back({.role = "far", .model = "n", .served_as = "n"});
  start_fleet();
  const Obeyed obeyed = result_of(fleet_->order({"nobody/x", "far/n@den", "technical/m"}, Order::load));
  EXPECT_EQ(obeyed.loads_before[0], -1);
  EXPECT_EQ(obeyed.loads_before[1], -1);
  EXPECT_GE(obeyed.loads_before[2], 0);
}

// Slots are taken and given back without a word to the fleet's thread: only the reports tell that it was used.
TEST_F(FleetOrdersTest, OneThatAnswersBetweenTwoLooksHasNotBeenIdle) {
  constexpr milliseconds kIdle{60};
  add_worker("technical");
  make_file("technical");
  start_fleet();
  ASSERT_TRUE(until([&] { return details().backends[0].idle_ms.value_or(0) >= kIdle.count(); }));
  const SteadyTime asked = clock_.steady();
  auto used = fleet_->try_lease("technical/m");
  ASSERT_TRUE(used);
  used->report_success({}, {.slot_ms = 1, .total_ms = 1});
  *used = Lease();
  EXPECT_TRUE(until([&] {
    const auto idle = details().backends[0].idle_ms;
    return idle && *idle <= milliseconds_between(asked, clock_.steady());
  }));
}

TEST_F(FleetOrdersTest, ShowsSlotsMemoryAndTheLinesThatQuoteNobody) {
  add_worker("technical").keep_alive = seconds(300);
  make_file("technical");
  options_.servers.push_back({.name = "den", .url = *net::parse_server_url("http://127.0.0.1:9")});
  options_.servers.back().models.push_back({.role = "far", .model = "n", .served_as = "n"});
  start_fleet();
  ASSERT_TRUE(until([&] { return state(0) == BackendState::ready && state(1) == BackendState::ready; }));
  const auto held = lease("technical/m");
  ASSERT_TRUE(held);
  const auto far = lease("far/n@den");
  ASSERT_TRUE(far);
  const llm::FleetDetails shown = details();
  ASSERT_EQ(shown.backends.size(), 2U);
  const llm::BackendDetails& own = shown.backends[0];
  EXPECT_EQ(own.view.id, "technical/m");
  EXPECT_EQ(own.slots_busy, 1);
  EXPECT_EQ(own.view.slots_free, 0);
  EXPECT_EQ(own.hold, llm::Hold::used);
  EXPECT_EQ(own.reported->host, kModelBytes);
  EXPECT_EQ(own.predicted_bytes, std::nullopt) << "the file is no model";
  EXPECT_EQ(own.keep_alive, seconds(300));
  EXPECT_EQ(own.idle_ms, std::nullopt) << "it is at work";
  EXPECT_FALSE(own.server);
  ASSERT_EQ(own.log.size(), 1U) << "neither the key nor what may quote a request";
  EXPECT_THAT(own.log[0].text, HasSubstr("CPU_Mapped model buffer size"));
  EXPECT_EQ(own.log[0].level, "info");
  const llm::BackendDetails& outside = shown.backends[1];
  EXPECT_EQ(outside.server->breaker, "closed");
  EXPECT_EQ(outside.slots_busy, 1);
  EXPECT_EQ(outside.view.slots_free, 3);
  EXPECT_EQ(outside.hold, llm::Hold::nothing);
}

}  // namespace
}  // namespace gbgreg::fleet

#include "services/fleet_admin.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "services/test_fleet.h"

namespace gbgreg::services {
namespace {

using fleet::Order;
using llm::BackendState;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<llm::BackendView> some_backends() {
  return {{.id = "technical/coder:7b", .role = "technical", .model = "coder:7b"},
          {.id = "technical/small", .role = "technical", .model = "small"},
          {.id = "technical/big@den", .role = "technical", .model = "big", .server = "den"},
          {.id = "far/big@den", .role = "far", .model = "big", .server = "den"}};
}

TEST(WorkersFor, AreThoseOfTheRoleThatAreOurOwn) {
  EXPECT_THAT(*workers_for("technical", {}, some_backends()), ElementsAre("technical/coder:7b", "technical/small"));
  EXPECT_THAT(*workers_for("technical", "small:latest", some_backends()), ElementsAre("technical/small"));
}

TEST(WorkersFor, SaysWhatIsKnownInstead) {
  struct Case {
    const char* role;
    std::optional<std::string> model;
    const char* code;
    Kind kind;
    const char* details;
  };
  const Case cases[] = {
      {"nobody", {}, "role_not_found", Kind::not_found, R"({"known":["technical","far"]})"},
      {"technical", "large", "model_not_found", Kind::not_found, R"({"known":["coder:7b","small","big"]})"},
      {"far", {}, "no_own_worker", Kind::conflict, ""},
      {"technical", "big", "no_own_worker", Kind::conflict, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.code);
    const auto found = workers_for(c.role, c.model, some_backends());
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, c.code);
    EXPECT_EQ(found.error().kind, c.kind);
    EXPECT_EQ(found.error().details_json, c.details);
  }
}

TEST(StandingOf, KnowsWhenAnOrderIsDoneAndWhenItNeverWillBe) {
  struct Case {
    Order order;
    BackendState state;
    std::int64_t loads;
    Standing standing;
  };
  const Case cases[] = {
      {Order::load, BackendState::ready, 2, Standing::done},
      {Order::load, BackendState::ready, 1, Standing::under_way},  // It is on its way out, and comes back.
      {Order::load, BackendState::loading, 2, Standing::under_way},
      {Order::load, BackendState::draining, 1, Standing::under_way},
      {Order::load, BackendState::failed, 2, Standing::failed},
      {Order::load, BackendState::sleeping, 2, Standing::failed},
      {Order::restart, BackendState::ready, 1, Standing::under_way},
      {Order::restart, BackendState::ready, 3, Standing::done},
      {Order::unload, BackendState::ready, 1, Standing::under_way},
      {Order::unload, BackendState::sleeping, 1, Standing::done},
      {Order::unload, BackendState::loading, 2, Standing::done},  // Somebody has woken it again.
      {Order::unload, BackendState::failed, 1, Standing::failed},
  };
  for (const Case& c : cases) {
    llm::BackendView view{.id = "x", .role = {}, .model = {}};
    view.state = c.state;
    view.loads = c.loads;
    EXPECT_EQ(standing_of(c.order, 2, &view), c.standing)
        << static_cast<int>(c.order) << llm::state_name(c.state) << c.loads;
  }
  EXPECT_EQ(standing_of(Order::load, 1, nullptr), Standing::failed);
}

class FleetAdminTest : public FleetTest {
 protected:
  FleetAdminTest() { options_.check_interval = std::chrono::hours(1); }  // There is no backend that could be asked.

  Result<fleet::Lease> lease(const std::string& id) {
    std::optional<Result<fleet::Lease>> result;
    auto run = [&]() -> Task<void> {
      result = co_await fleet_->lease(id, llm::Priority::interactive, clock_.steady() + std::chrono::seconds(30));
    };
    asio::co_spawn(io_.executor(), run(), asio::detached);
    return wait_for(result);
  }
  // The story on an I/O thread, as a handler has it.
  Result<FleetAdmin::Ordered> order(FleetOrder order) {
    std::optional<Result<FleetAdmin::Ordered>> result;
    auto run = [&]() -> Task<void> { result = co_await admin().order(order); };
    asio::co_spawn(io_.executor(), run(), asio::detached);
    return wait_for(result);
  }
  Result<FleetAdmin::Ordered> order_and_wait(Order what, std::chrono::milliseconds wait = std::chrono::seconds(30)) {
    return order({.role = "technical", .order = what, .wait = wait});
  }
  FleetAdmin& admin() {
    if (!admin_) admin_.emplace(start_fleet(), doctor(), clock_);
    return *admin_;
  }
  void until_state(BackendState state) {
    while (fleet_->snapshot()->front().state != state) std::this_thread::yield();
  }
  std::shared_ptr<backends::Backend> make_backend(const std::string&) override { return nullptr; }

 private:
  Doctor& doctor() {
    if (!doctor_) doctor_.emplace(pool_, start_fleet(), DoctorOptions{}, std::vector<std::string>{});
    return *doctor_;
  }

  asio::thread_pool pool_{1};
  std::optional<Doctor> doctor_;
  std::optional<FleetAdmin> admin_;
};

TEST_F(FleetAdminTest, WaitsUntilWhatWasOrderedIsDone) {
  add_worker("technical", "m");
  admin();
  become_ready();
  const auto unloaded = order_and_wait(Order::unload);
  ASSERT_TRUE(unloaded) << unloaded.error().message;
  EXPECT_EQ(unloaded->standing, Standing::done);
  EXPECT_EQ(unloaded->report.fleet.backends[0].view.state, BackendState::sleeping);
  const auto loaded = order_and_wait(Order::load);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->report.fleet.backends[0].view.state, BackendState::ready);
  const auto again = order_and_wait(Order::restart);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->report.fleet.backends[0].view.state, BackendState::ready);
  EXPECT_EQ(again->report.fleet.backends[0].view.loads, 3);
  const auto nothing_to_do = order({.role = "technical", .order = Order::load});
  ASSERT_TRUE(nothing_to_do);
  EXPECT_EQ(nothing_to_do->standing, Standing::done);
}

TEST_F(FleetAdminTest, SaysWhyItDidNotLoad) {
  std::filesystem::remove(add_worker("technical", "m").model_file);
  admin();
  until_state(BackendState::failed);
  for (const auto wait : {std::optional<std::chrono::milliseconds>{}, {std::chrono::milliseconds(30'000)}}) {
    const auto failed = order({.role = "technical", .order = Order::load, .wait = wait});
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().kind, Kind::unavailable);
    EXPECT_EQ(failed.error().code, "model_not_loaded");
    EXPECT_THAT(failed.error().message, HasSubstr("technical.gguf is missing"));
  }
}

TEST_F(FleetAdminTest, WaitsNoLongerThanItMay) {
  add_worker("technical", "m");
  admin();
  become_ready();
  auto held = lease("technical/m");
  ASSERT_TRUE(held);
  const auto late = order_and_wait(Order::restart, std::chrono::milliseconds(1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, Kind::timed_out);
  EXPECT_EQ(late.error().code, "restart_timed_out");
  *held = fleet::Lease();
  while (fleet_->snapshot()->front().loads < 2) std::this_thread::yield();  // It goes on all the same.
}

TEST_F(FleetAdminTest, UnloadsByTheNameOfAModelOrARole) {
  add_worker("technical", "m");
  add_worker("documentation", "n");
  admin();
  become_ready();
  EXPECT_EQ(admin().unload("auto").error().kind, Kind::malformed);
  EXPECT_EQ(admin().unload("nobody").error().kind, Kind::not_found);
  const auto unloaded = admin().unload("m:latest");
  ASSERT_TRUE(unloaded);
  EXPECT_EQ(unloaded->role, "technical");
  EXPECT_EQ(unloaded->model, "m");
  until_state(BackendState::sleeping);
  EXPECT_TRUE(admin().unload("documentation"));
  while (fleet_->snapshot()->back().state != BackendState::sleeping) std::this_thread::yield();
}

TEST_F(FleetAdminTest, TellsThoseThatWaitForAModelThatItIsThere) {
  fleet::WorkerOptions& worker = add_worker("technical", "llama3.1:8b");
  const std::filesystem::path file = worker.model_file;
  std::filesystem::remove(file);
  admin();
  until_state(BackendState::failed);
  std::ofstream(folder_.path() / "new") << "model";
  std::filesystem::rename(folder_.path() / "new", file);
  admin().model_fetched("llama3.2:1b");
  admin().model_fetched("no name at all!");
  EXPECT_EQ(order({.role = "nobody"}).error().code, "role_not_found");
  admin().model_fetched("registry.ollama.ai/library/llama3.1:8b");
  until_state(BackendState::ready);
}

}  // namespace
}  // namespace gbgreg::services

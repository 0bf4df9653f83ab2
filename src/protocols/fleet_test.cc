#include "protocols/fleet.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

namespace gbgreg::protocols::native {
namespace {

namespace json = boost::json;
using llm::BackendState;

llm::BackendDetails backend(const char* role, const char* model, BackendState state) {
  llm::BackendDetails details;
  details.view.id = std::string(role) + "/" + model;
  details.view.role = role;
  details.view.model = model;
  details.view.state = state;
  return details;
}

TEST(WriteFleet, GroupsTheBackendsByRoleAndARoleIsAsWellAsItsBest) {
  FleetReport report;
  report.fleet.backends = {backend("b", "one", BackendState::failed), backend("a", "two", BackendState::sleeping),
                           backend("b", "three", BackendState::ready), backend("c", "four", BackendState::draining)};
  report.fleet.host = {.budget_bytes = 10, .used_bytes = 7, .reserved_bytes = 2};
  const auto fleet = json::parse(write_fleet(report)).as_object();
  const auto& roles = fleet.at("roles").as_array();
  ASSERT_EQ(roles.size(), 3U);
  EXPECT_EQ(roles[0].at("role"), "b");
  EXPECT_EQ(roles[0].at("state"), "ready");
  EXPECT_EQ(roles[0].at("backends").as_array().size(), 2U);
  EXPECT_EQ(roles[1].at("state"), "sleeping");
  EXPECT_EQ(roles[2].at("state"), "stopped") << "which it is about to be";
  EXPECT_EQ(fleet.at("memory").at("ram"), json::parse(R"({"budget_bytes":10,"used_bytes":7,"reserved_bytes":2})"));
  EXPECT_TRUE(fleet.at("memory").at("vram").at("budget_bytes").is_null());
  EXPECT_EQ(json::parse(write_fleet_role(report, "b")), roles[0]);
}

TEST(WriteFleet, ShowsAllThatHealthSaysAndWhoWaits) {
  llm::BackendDetails busy = backend("a", "m", BackendState::ready);
  busy.view.slots_total = 2;
  busy.view.queue_max = 64;
  busy.view.loads = 3;
  busy.view.port = 11436;
  busy.slots_busy = 2;
  busy.is_leaving = true;
  busy.queue = {.interactive = 60, .batch = 2, .retries = 1};
  busy.queue.first = {{.is_retry = true, .waited_ms = 5},
                      {.priority = llm::Priority::batch, .waited_ms = 9, .deadline_in_ms = 70}};
  busy.claim = {.host = 5, .card = 6};
  busy.hold = llm::Hold::used;
  busy.reported = llm::MemoryBytes{.host = 5, .card = 6};
  busy.keep_alive = std::chrono::milliseconds{1500};
  busy.log = {{.level = "warning", .text = "\"quoted\"\xFF"}};
  const auto written = json::parse(write_fleet({.fleet = {.backends = {busy}}, .card_use = {{.memory_bytes = 8}}}));
  const auto& shown = written.at("roles").at(0).at("backends").at(0);
  HealthReport health;
  health.backends = {busy.view};
  health.card_use = {{.memory_bytes = 8}};
  const json::value healthy = json::parse(write_health(health));
  for (const auto& [key, value] : healthy.at("models").at("roles").at(0).as_object()) {
    EXPECT_EQ(shown.at(key), value) << std::string(key);
  }
  EXPECT_EQ(shown.at("slots"), json::parse(R"({"total":2,"busy":2,"free":0})"));
  const auto& queue = shown.at("queue");
  EXPECT_EQ(queue.at("length"), 63);
  EXPECT_EQ(queue.at("waiting").at(0), json::parse(R"({"position":1,"priority":"interactive","retry":true,
      "waited_ms":5,"deadline_in_ms":null})"));
  EXPECT_EQ(queue.at("waiting").at(1), json::parse(R"({"position":2,"priority":"batch","retry":false,
      "waited_ms":9,"deadline_in_ms":70})"));
  EXPECT_EQ(shown.at("memory"), json::parse(R"({"holds":"used","ram_bytes":5,"vram_bytes":6,"predicted_bytes":null,
      "reported_bytes":11})"));
  EXPECT_EQ(shown.at("keep_alive_seconds"), 1.5);
  EXPECT_EQ(shown.at("leaving"), true);
  EXPECT_EQ(shown.at("generation"), 3);
  EXPECT_TRUE(shown.at("server").is_null());
  EXPECT_EQ(shown.at("log").at(0).at("text"), "\"quoted\"\xEF\xBF\xBD");
}

TEST(WriteFleet, ShowsHowAnOutsideServerIs) {
  llm::BackendDetails far = backend("a", "m", BackendState::unreachable);
  far.view.server = "den";
  far.server =
      llm::ServerState{.breaker = "half_open", .failures = 3, .last_error = "Nobody is there.", .last_error_ago_ms = 7};
  const auto written = json::parse(write_fleet({.fleet = {.backends = {far}}}));
  EXPECT_EQ(written.at("roles").at(0).at("backends").at(0).at("server"),
            json::parse(R"({"name":"den","breaker":"half_open","failures":3,"last_error":"Nobody is there.",
                "last_error_ago_ms":7,"check_in_ms":null})"));
}

TEST(ParseFleetOrder, TakesAModelOrNothing) {
  EXPECT_EQ(parse_fleet_order("", {}).value(), std::nullopt);
  EXPECT_EQ(parse_fleet_order("{}", {}).value(), std::nullopt);
  EXPECT_EQ(parse_fleet_order(R"({"model":null,"more":[1]})", {}).value(), std::nullopt);
  EXPECT_EQ(parse_fleet_order(R"({"model":"llama3.1:8b"})", {}).value(), "llama3.1:8b");
  for (const char* body : {"[]", "nothing", R"({"model":5})", R"({"model":""})"}) {
    const auto refused = parse_fleet_order(body, {});
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().kind, Kind::malformed) << body;
  }
}

}  // namespace
}  // namespace gbgreg::protocols::native

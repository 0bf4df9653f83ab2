#include "routing/candidates.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace gbgreg::routing {
namespace {

llm::BackendView view(const char* id, int slots_free, double latency_ms, int preference = 0) {
  llm::BackendView made{.id = id, .role = "technical", .model = "m", .state = llm::BackendState::ready};
  made.slots_total = 4;
  made.slots_free = slots_free;
  made.latency_ms = latency_ms;
  made.preference = preference;
  return made;
}

std::map<std::string, int> shares(const std::vector<llm::BackendView>& backends) {
  std::map<std::string, int> taken;
  for (std::uint64_t dice = 1; dice <= 600; ++dice) ++taken[share_work(backends, &backends.front(), dice)->id];
  return taken;
}

TEST(ShareWork, OfTwoTakesTheOneThatAnswersSooner) {
  EXPECT_EQ(shares({view("busy", 0, 100), view("free", 4, 100)})["free"], 600);
  EXPECT_EQ(shares({view("slow", 4, 900), view("quick", 4, 100)})["quick"], 600);
  EXPECT_EQ(shares({view("quick but full", 0, 100), view("slower", 4, 300)})["slower"], 600);
}

TEST(ShareWork, GivesTheSlowestOfThreeNothingAndTheOthersTheirPart) {
  auto taken = shares({view("a", 4, 100), view("b", 4, 101), view("c", 4, 500)});
  EXPECT_EQ(taken["c"], 0);
  EXPECT_GT(taken["b"], 100);
  EXPECT_GT(taken["a"], taken["b"]);
}

TEST(ShareWork, KeepsTheChoiceWhereNobodyIsItsEqual) {
  auto other_role = view("other", 4, 1);
  other_role.role = "coordinator";
  auto unreachable = view("gone", 4, 1);
  unreachable.state = llm::BackendState::unreachable;
  EXPECT_EQ(shares({view("chosen", 0, 900), view("second", 4, 1, 1), other_role, unreachable})["chosen"], 600);
}

TEST(ShareWork, KeepsTheChoiceWithoutDice) {
  const std::vector<llm::BackendView> backends = {view("slow", 4, 900), view("quick", 4, 100)};
  EXPECT_EQ(share_work(backends, &backends.front(), 0)->id, "slow");
}

TEST(Readiest, PrefersAReadyModelAndThenTheOneThatItsRoleNamesFirst) {
  const auto any = [](const llm::BackendView&) { return true; };
  std::vector<llm::BackendView> backends = {view("second", 4, 1, 1), view("first", 0, 900, 0)};
  EXPECT_EQ(readiest(backends, any)->id, "first");
  backends[1].state = llm::BackendState::unreachable;
  EXPECT_EQ(readiest(backends, any)->id, "second");
}

}  // namespace
}  // namespace gbgreg::routing

#include "fleet/memory_plan.h"

#include <gmock/gmock.h>

#include <cstdio>
#include <deque>
#include <string>

namespace gbgreg::fleet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kGigabyte = 1'000'000'000;

class MemoryPlanTest : public testing::Test {
 protected:
  static Tenant tenant(Stay stay, std::int64_t gigabytes) {
    return {.stay = stay, .claim = {.host = gigabytes * kGigabyte}, .used_at = kBegin, .load_time = milliseconds(500)};
  }
  Tenant asked_for(std::int64_t gigabytes, milliseconds ago = milliseconds(0)) const {
    Tenant found = tenant(Stay::wanted, gigabytes);
    found.waiting = 1;
    found.waiting_since = now_ - ago;
    return found;
  }
  MemoryDecision plan(std::initializer_list<Tenant> tenants) const {
    return plan_memory(std::vector<Tenant>(tenants), now_, options_);
  }

  static constexpr SteadyTime kBegin{seconds(1000)};
  SteadyTime now_ = kBegin + seconds(10);
  MemoryPlanOptions options_{.budget = {.host = 10 * kGigabyte, .card = 0}};
};

TEST_F(MemoryPlanTest, LetsInWhoFits) {
  const auto decision = plan({tenant(Stay::wanted, 4), tenant(Stay::wanted, 5), tenant(Stay::away, 1)});
  EXPECT_THAT(decision.load, ElementsAre(0, 1));
  EXPECT_THAT(decision.unload, IsEmpty());
}

TEST_F(MemoryPlanTest, SendsNobodyAwayForOneThatNobodyWaitsFor) {
  const auto decision = plan({tenant(Stay::in, 8), tenant(Stay::wanted, 5)});
  EXPECT_THAT(decision.load, IsEmpty());
  EXPECT_THAT(decision.unload, IsEmpty());
  EXPECT_FALSE(decision.next);
}

TEST_F(MemoryPlanTest, SendsAwayWhoHasNothingToDoAtOnce) {
  const auto decision = plan({tenant(Stay::in, 8), asked_for(5)});
  EXPECT_THAT(decision.unload, ElementsAre(0));
  EXPECT_THAT(decision.load, IsEmpty()) << "until it has gone";
  EXPECT_THAT(plan({tenant(Stay::leaving, 8), asked_for(5)}).load, IsEmpty());
  EXPECT_THAT(plan({tenant(Stay::away, 8), asked_for(5)}).load, ElementsAre(1));
}

TEST_F(MemoryPlanTest, SendsAwayWhoCostsLeastToBringBackAndNotMerelyTheOldest) {
  Tenant slow = tenant(Stay::in, 5);
  slow.load_time = seconds(30);
  slow.used_at = now_ - seconds(100);
  Tenant quick = tenant(Stay::in, 5);
  quick.load_time = seconds(1);
  quick.used_at = now_ - seconds(1);
  EXPECT_THAT(plan({slow, quick, asked_for(5)}).unload, ElementsAre(1));
  slow.used_at = now_ - std::chrono::hours(2);
  EXPECT_THAT(plan({slow, quick, asked_for(5)}).unload, ElementsAre(0)) << "after two hours nobody misses it";
}

TEST_F(MemoryPlanTest, SendsAwayNoMoreThanItTakes) {
  Tenant small = tenant(Stay::in, 2);
  small.load_time = milliseconds(10);
  const auto decision = plan({small, tenant(Stay::in, 7), asked_for(7)});
  EXPECT_THAT(decision.unload, ElementsAre(1))
      << "the small one alone is not enough, and with the large one not needed";
}

TEST_F(MemoryPlanTest, LetsWhoIsAtWorkGoOnUntilSomebodyHasWaitedLong) {
  Tenant busy = tenant(Stay::in, 8);
  busy.busy = 1;
  busy.waiting = 3;
  const auto early = plan({busy, asked_for(5, milliseconds(100))});
  EXPECT_THAT(early.unload, IsEmpty());
  ASSERT_TRUE(early.next);
  EXPECT_EQ(*early.next, now_ - milliseconds(100) + 3 * milliseconds(1000)) << "three swaps of half a second each way";
  EXPECT_THAT(plan({busy, asked_for(5, seconds(3))}).unload, ElementsAre(0));
  busy.in_since = now_ - milliseconds(1'000);
  EXPECT_THAT(plan({busy, asked_for(5, seconds(60))}).unload, IsEmpty()) << "it has just come itself";
}

TEST_F(MemoryPlanTest, LetsNobodyPassWhoHasWaitedLonger) {
  Tenant busy = tenant(Stay::in, 8);
  busy.busy = 1;
  const auto decision = plan({busy, asked_for(5, milliseconds(200)), asked_for(2, milliseconds(100))});
  EXPECT_THAT(decision.load, IsEmpty()) << "or small ones would keep a large one out for ever";
}

TEST_F(MemoryPlanTest, DoesNotInterruptALoad) {
  EXPECT_THAT(plan({tenant(Stay::arriving, 8), asked_for(5, seconds(60))}).unload, IsEmpty());
}

TEST_F(MemoryPlanTest, RefusesWhatWouldNeverFit) {
  const auto decision = plan({tenant(Stay::in, 2), asked_for(11), asked_for(3)});
  EXPECT_THAT(decision.refuse, ElementsAre(1));
  EXPECT_THAT(decision.unload, IsEmpty());
  EXPECT_THAT(decision.load, ElementsAre(2));
}

TEST_F(MemoryPlanTest, CountsTheCardsMemoryByItself) {
  options_.budget.card = 16 * kGigabyte;
  Tenant on_card = tenant(Stay::in, 0);
  on_card.claim = {.host = kGigabyte, .card = 12 * kGigabyte};
  Tenant another = asked_for(0);
  another.claim = {.host = kGigabyte, .card = 8 * kGigabyte};
  EXPECT_THAT(plan({on_card, another, asked_for(5)}).unload, ElementsAre(0));
  another.claim.card = 4 * kGigabyte;
  EXPECT_THAT(plan({on_card, another, asked_for(5)}).load, ElementsAre(1, 2));
}

// Another program has taken of the card meanwhile.
TEST_F(MemoryPlanTest, LetsInWhatWantsNothingOfACardThatIsOverfull) {
  options_.budget.card = 2 * kGigabyte;
  Tenant on_card = tenant(Stay::in, 0);
  on_card.claim.card = 5 * kGigabyte;
  EXPECT_THAT(plan({on_card, asked_for(4)}).load, ElementsAre(1));
  Tenant other = asked_for(0);
  other.claim.card = kGigabyte;
  const auto decision = plan({on_card, other});
  EXPECT_THAT(decision.load, IsEmpty());
  EXPECT_THAT(decision.unload, ElementsAre(0));
}

TEST_F(MemoryPlanTest, SendsAwayWhoHasBeenIdleForAsLongAsItMay) {
  Tenant idle = tenant(Stay::in, 1);
  idle.keep_alive = seconds(30);
  EXPECT_EQ(plan({idle}).next, kBegin + seconds(30));
  now_ = kBegin + seconds(30);
  EXPECT_THAT(plan({idle}).unload, ElementsAre(0));
  idle.busy = 1;
  EXPECT_THAT(plan({idle}).unload, IsEmpty());
}

// ---- Whole traces: one slot a model, each request works for `kWork`, a load takes `kLoad`.

constexpr milliseconds kWork{400};
constexpr milliseconds kLoad{1'500};

struct Asked {
  milliseconds at;
  std::size_t model;
};

struct Outcome {
  int loads = 0;
  milliseconds longest_wait{0};
};

// What first come, first served costs: every change of the model is a load, in as many places as there are.
Outcome serve_in_order(const std::vector<Asked>& trace, std::size_t places) {
  Outcome outcome;
  std::deque<std::size_t> in;  // The front was used longest ago.
  milliseconds now{0};
  for (const Asked& asked : trace) {
    now = std::max(now, asked.at);
    if (const auto found = std::ranges::find(in, asked.model); found != in.end()) {
      in.erase(found);
    } else {
      ++outcome.loads;
      now += kLoad;
      if (in.size() == places) in.pop_front();
    }
    in.push_back(asked.model);
    outcome.longest_wait = std::max(outcome.longest_wait, now - asked.at);
    now += kWork;
  }
  return outcome;
}

// The same by the plan, in steps of a millisecond.
Outcome serve_by_plan(const std::vector<Asked>& trace, std::size_t models, std::int64_t places) {
  struct Model {
    Stay stay = Stay::away;
    std::deque<milliseconds> waiting = {};
    milliseconds until{0};  // Of its load, or of its work.
    bool busy = false;
    milliseconds used{0};
    milliseconds in_since{0};
  };
  const MemoryPlanOptions options{.budget = {.host = places, .card = 0}};
  const auto time = [](milliseconds at) { return SteadyTime(at + seconds(1000)); };
  std::vector<Model> all(models);
  Outcome outcome;
  std::size_t next = 0;
  std::size_t served = 0;
  for (milliseconds now{0}; served < trace.size() && now < seconds(100'000); ++now) {
    for (; next < trace.size() && trace[next].at <= now; ++next) {
      Model& model = all[trace[next].model];
      model.waiting.push_back(trace[next].at);
      if (model.stay == Stay::away) model.stay = Stay::wanted;
    }
    std::vector<Tenant> tenants;
    for (Model& model : all) {
      if (model.stay == Stay::arriving && now >= model.until) {
        model.stay = Stay::in;
        model.in_since = now;
      }
      if (model.busy && now >= model.until) {
        model.busy = false;
        model.used = now;
        ++served;
      }
      if (model.stay == Stay::in && !model.busy && !model.waiting.empty()) {
        outcome.longest_wait = std::max(outcome.longest_wait, now - model.waiting.front());
        model.waiting.pop_front();
        model.busy = true;
        model.until = now + kWork;
      }
      if (model.stay == Stay::leaving && !model.busy) model.stay = model.waiting.empty() ? Stay::away : Stay::wanted;
      Tenant tenant{.stay = model.stay, .claim = {.host = 1}, .busy = model.busy ? 1 : 0};
      tenant.waiting = static_cast<int>(model.waiting.size());
      if (tenant.waiting > 0) tenant.waiting_since = time(model.waiting.front());
      tenant.in_since = time(model.in_since);
      tenant.used_at = time(model.used);
      tenant.load_time = kLoad;
      tenants.push_back(tenant);
    }
    const auto decision = plan_memory(tenants, time(now), options);
    for (const std::size_t index : decision.unload) all[index].stay = Stay::leaving;
    for (const std::size_t index : decision.load) {
      all[index].stay = Stay::arriving;
      all[index].until = now + kLoad;
      ++outcome.loads;
    }
  }
  EXPECT_EQ(served, trace.size());
  return outcome;
}

TEST(MemoryPlanTrace, ABAACTakesAtMostHalfTheSwapsOfFirstComeFirstServed) {
  std::vector<Asked> trace;
  constexpr std::size_t kPattern[] = {0, 1, 0, 0, 2};
  for (int round = 0; round < 40; ++round) {
    for (std::size_t i = 0; i < std::size(kPattern); ++i) {
      trace.push_back({.at = milliseconds(round * 2'500 + static_cast<int>(i) * 50), .model = kPattern[i]});
    }
  }
  const Outcome in_order = serve_in_order(trace, 1);
  const Outcome planned = serve_by_plan(trace, 3, 1);
  std::printf(
      "A-B-A-A-C, 200 requests, memory for one of three models: %d loads instead of %d in order; the longest wait %.1f "
      "s instead of %.1f s\n",
      planned.loads, in_order.loads, static_cast<double>(planned.longest_wait.count()) / 1000,
      static_cast<double>(in_order.longest_wait.count()) / 1000);
  EXPECT_LE(planned.loads * 2, in_order.loads);
  EXPECT_LE(planned.longest_wait, in_order.longest_wait);
}

TEST(MemoryPlanTrace, NobodyStarvesBesideAModelThatIsAlwaysAskedFor) {
  std::vector<Asked> trace;
  for (int i = 0; i < 400; ++i) {
    trace.push_back({.at = milliseconds(i * 350), .model = 0});  // More than it can serve.
    if (i % 40 == 20) trace.push_back({.at = milliseconds(i * 350), .model = 1});
  }
  const Outcome planned = serve_by_plan(trace, 2, 1);
  EXPECT_LE(planned.loads, 1 + 2 * 10);
  EXPECT_GE(planned.loads, 2);
}

TEST_F(MemoryPlanTest, ASmallerBudgetSendsAwayTheIdleUntilTheOthersFit) {
  Tenant busy = tenant(Stay::in, 6);
  busy.busy = 1;
  Tenant costly = tenant(Stay::in, 3);
  costly.load_time = seconds(60);
  const auto over = [&](std::initializer_list<Tenant> tenants) {
    return over_budget(std::vector<Tenant>(tenants), now_, options_);
  };
  EXPECT_FALSE(over({busy, costly}).is_over);
  const Excess one = over({busy, costly, tenant(Stay::in, 4)});
  EXPECT_TRUE(one.is_over);
  EXPECT_THAT(one.unload, ElementsAre(2));
  const Excess all = over({busy, costly, tenant(Stay::in, 1), tenant(Stay::arriving, 4)});
  EXPECT_THAT(all.unload, ElementsAre(2, 1)) << "what arrives is not interrupted";
  busy.claim.host = 11 * kGigabyte;
  EXPECT_TRUE(over({busy}).is_over);
  EXPECT_THAT(over({busy}).unload, IsEmpty()) << "who is at work ends it first";
}

}  // namespace
}  // namespace gbgreg::fleet

// How long the fleet's pure decisions take: who is in memory, and who gets a slot. Printed by bench/fleet.mjs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "fleet/memory_plan.h"
#include "fleet/scheduler.h"

namespace {

namespace fleet = gbgreg::fleet;
using gbgreg::SteadyTime;

constexpr int kDecisions = 200'000;

void print(const char* what, std::vector<double>& microseconds) {
  std::ranges::sort(microseconds);
  const auto at = [&](double part) {
    return microseconds[static_cast<std::size_t>(part * static_cast<double>(microseconds.size() - 1))];
  };
  std::printf("| %s | %zu | %.2f | %.2f | %.2f |\n", what, microseconds.size(), at(0.5), at(0.99), at(1));
}

template <class Work>
double timed(Work work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

int main() {
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp): the same every time.
  const auto below = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
  std::vector<double> plans, slots;
  constexpr int kModels = 16;
  std::size_t decided = 0;
  for (int i = 0; i < kDecisions; ++i) {
    std::vector<fleet::Tenant> tenants(kModels);
    const SteadyTime now(std::chrono::hours(10));
    for (auto& tenant : tenants) {
      tenant.stay = static_cast<fleet::Stay>(below(5));
      tenant.claim.host = 1 + below(8);
      tenant.busy = below(3);
      tenant.waiting = tenant.stay == fleet::Stay::wanted ? below(4) : below(2);
      if (tenant.waiting > 0) tenant.waiting_since = now - std::chrono::milliseconds(below(20'000));
      tenant.used_at = now - std::chrono::seconds(below(600));
      tenant.load_time = std::chrono::milliseconds(100 + below(20'000));
    }
    const fleet::MemoryPlanOptions options{.budget = {.host = 24, .card = 0}};
    plans.push_back(timed([&] { decided += fleet::plan_memory(tenants, now, options).unload.size(); }));
  }

  fleet::Scheduler scheduler({.model = "m", .model_file_name = "m.gguf", .slots = 4, .queue_max = 1000});
  SteadyTime now(std::chrono::hours(1));
  scheduler.start(now);
  scheduler.process_started(now);
  scheduler.process_ready(now);
  for (fleet::WaiterId id = 1; id <= kDecisions; ++id) {
    now += std::chrono::milliseconds(1);
    const fleet::Waiter waiter{
        .id = id, .caller = static_cast<gbgreg::llm::CallerId>(id % 20), .deadline = now + std::chrono::hours(1)};
    slots.push_back(timed([&] { decided += scheduler.ask(now, waiter).size(); }));
    // Sixty wait, in twenty lines, when the oldest is served.
    if (id > 64)
      slots.push_back(timed([&] { decided += scheduler.release(now, scheduler.generation(), false).size(); }));
  }
  std::printf("| what | n | p50 µs | p99 µs | max µs |\n| --- | --- | --- | --- | --- |\n");
  print("who of 16 models is in memory", plans);
  print("a slot asked for or given back, 60 waiting of 20 callers", slots);
  return decided > 0 ? 0 : 1;
}

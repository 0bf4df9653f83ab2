#include "fleet/slot_gate.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace gbgreg::fleet {
namespace {

TEST(SlotGate, GivesOutWhatItWasLentAndNotMore) {
  SlotGate gate;
  EXPECT_FALSE(gate.take());
  gate.lend(7, 2);
  EXPECT_EQ(gate.take(), 7U);
  EXPECT_EQ(gate.take(), 7U);
  EXPECT_FALSE(gate.take());
  EXPECT_TRUE(gate.give_back(7));
  EXPECT_EQ(gate.free(), 1);
  gate.lend(7, 3);
  EXPECT_EQ(gate.free(), 4);
}

TEST(SlotGate, ASlotOfAnotherLifeOrOfAClosedGateDoesNotComeBack) {
  SlotGate gate;
  gate.lend(1, 2);
  EXPECT_TRUE(gate.take());
  EXPECT_EQ(gate.close(), 1);
  EXPECT_FALSE(gate.give_back(1));
  EXPECT_FALSE(gate.take());
  gate.lend(2, 2);
  EXPECT_FALSE(gate.give_back(1));
  EXPECT_EQ(gate.free(), 2);
  EXPECT_EQ(gate.close(), 2);
}

TEST(SlotGate, GivesNothingOutOnceItIsShutUntilItHasBeenClosed) {
  SlotGate gate;
  gate.lend(1, 3);
  EXPECT_TRUE(gate.take());
  gate.shut(2);
  EXPECT_TRUE(gate.take()) << "another life was meant";
  gate.shut(1);
  EXPECT_FALSE(gate.take());
  EXPECT_FALSE(gate.give_back(1));
  gate.lend(1, 1);
  EXPECT_FALSE(gate.take());
  EXPECT_EQ(gate.close(), 2);
  gate.lend(1, 2);
  EXPECT_TRUE(gate.take());
}

TEST(SlotGate, LosesAndDoublesNothingUnderManyHands) {
  constexpr int kSlots = 3;
  SlotGate gate;
  std::atomic<int> out{0}, most{0}, homeless{0};
  std::atomic<bool> is_over{false};
  gate.lend(1, kSlots);
  constexpr int kTakers = 4;
  std::vector<std::thread> takers;
  takers.reserve(kTakers);
  for (int i = 0; i < kTakers; ++i) {
    takers.emplace_back([&] {
      for (int round = 0; round < 50'000; ++round) {
        const auto generation = gate.take();
        if (!generation) continue;
        const int now = ++out;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
        --out;
        if (!gate.give_back(*generation)) ++homeless;
      }
    });
  }
  // The fleet's thread: it closes, and lends what it has: what was in the gate, and what came to it instead.
  std::thread owner([&] {
    while (!is_over) {
      const int left = gate.close() + homeless.exchange(0);
      gate.lend(1, left);
    }
  });
  for (auto& taker : takers) taker.join();
  is_over = true;
  owner.join();
  EXPECT_LE(most, kSlots);
  EXPECT_EQ(gate.close() + homeless, kSlots);
}

}  // namespace
}  // namespace gbgreg::fleet

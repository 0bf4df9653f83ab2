// Which models are in memory when there is not room for all: who may come in, who has to leave for whom, and when.
//
// The decisions, without a process, a thread or a clock. The fleet asks after everything that changes, and at `next`.
//
//  - Whoever fits comes in. Who is asked for waits; the one that has waited longest is let in first, and nobody passes
//  it.
//  - For one that does not fit, models that have nothing to do leave at once: those that cost least to bring back, by
//  how
//    long they load and how lately they were used, and no more of them than it takes.
//  - A model that is at work serves everybody who waits for it first, those that come meanwhile included, until
//  somebody
//    has waited for another one for `patience`. Then it takes no more requests, ends those that it has, and leaves. So
//    A-B-A-A-C is three loads and not four, and no wait is without a bound.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/core.h"

namespace gbgreg::fleet {

// Bytes of the host's memory and of the cards'.
struct Memory {
  static constexpr std::int64_t kUnbounded = INT64_MAX;

  std::int64_t host = 0;
  std::int64_t card = 0;

  Memory& operator+=(const Memory& other);
  Memory& operator-=(const Memory& other);
  // Who wants nothing of the cards fits where there is less than nothing left of them: others take what they like.
  bool fits_into(const Memory& room) const { return host <= room.host && (card <= 0 || card <= room.card); }
  bool operator==(const Memory&) const = default;
};

enum class Stay : std::uint8_t {
  away,      // Not in memory, and not wanted.
  wanted,    // Not in memory; somebody waits for it, or it is to be loaded ahead of need.
  arriving,  // Loading: not interrupted.
  in,
  leaving,  // On its way out, and still in memory.
};

// One worker, as the plan sees it.
struct Tenant {
  Stay stay = Stay::away;
  Memory claim = {};
  int busy = 0;                                              // Requests that it is answering.
  int waiting = 0;                                           // Requests that wait for it.
  std::optional<SteadyTime> waiting_since = {};              // Of the one that has waited longest.
  SteadyTime in_since = {};                                  // When it became ready.
  SteadyTime used_at = {};                                   // When it last had something to do.
  std::chrono::milliseconds load_time{0};                    // What it takes to bring it back.
  std::optional<std::chrono::milliseconds> keep_alive = {};  // How long it may be idle; absent is for ever.
};

struct MemoryPlanOptions {
  Memory budget = {.host = Memory::kUnbounded, .card = Memory::kUnbounded};
  // How long a model that is at work may go on while another is waited for: as long as swaps take, this many times, so
  // that they take a small part of the time; within these bounds.
  int patience_in_swaps = 3;
  std::chrono::milliseconds patience_min{250};
  std::chrono::milliseconds patience_max{10'000};
};

struct MemoryDecision {
  std::vector<std::size_t> load = {};
  std::vector<std::size_t> unload = {};
  std::vector<std::size_t> refuse = {};  // They are wanted, and would not fit into the whole budget.
  std::optional<SteadyTime> next = {};   // When to ask again, should nothing change before.
};

// When the budget has become smaller: whether there is more in memory than it allows, and who leaves for that now,
// having nothing to do, the cheapest to bring back first. Who is at work may end it; ask again then.
struct Excess {
  bool is_over = false;
  std::vector<std::size_t> unload = {};
};
Excess over_budget(std::span<const Tenant> tenants, SteadyTime now, const MemoryPlanOptions& options);

MemoryDecision plan_memory(std::span<const Tenant> tenants, SteadyTime now, const MemoryPlanOptions& options);

}  // namespace gbgreg::fleet

#include "fleet/memory_plan.h"

#include <algorithm>

namespace gbgreg::fleet {

Memory& Memory::operator+=(const Memory& other) {
  host += other.host;
  card += other.card;
  return *this;
}

Memory& Memory::operator-=(const Memory& other) {
  host -= other.host;
  card -= other.card;
  return *this;
}

namespace {

bool has_work(const Tenant& tenant) { return tenant.busy > 0 || tenant.waiting > 0; }

// What unloading it will probably cost, in milliseconds: its load, the less the longer nobody has wanted it.
double cost_of_return(const Tenant& tenant, SteadyTime now) {
  constexpr double kHalfForgottenSeconds = 60;
  const double idle = std::max(0.0, std::chrono::duration<double>(now - tenant.used_at).count());
  const auto load = static_cast<double>(std::max<std::int64_t>(1, tenant.load_time.count()));
  return load * kHalfForgottenSeconds / (kHalfForgottenSeconds + idle);
}

class Plan {
 public:
  Plan(std::span<const Tenant> tenants, SteadyTime now, const MemoryPlanOptions& options)
      : tenants_(tenants), now_(now), options_(options), room_(options.budget), room_to_be_(options.budget) {
    for (const Tenant& tenant : tenants_) {
      const bool stays = tenant.stay == Stay::in || tenant.stay == Stay::arriving;
      if (stays || tenant.stay == Stay::leaving) room_ -= tenant.claim;
      if (stays) room_to_be_ -= tenant.claim;
    }
  }

  MemoryDecision made() && {
    for (const std::size_t index : wanted()) {
      if (!let_in(index)) break;
    }
    send_idle_away();
    return std::move(decision_);
  }

 private:
  // Those for whom somebody waits first, by how long; then those that are loaded ahead of need, in their order.
  std::vector<std::size_t> wanted() const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < tenants_.size(); ++i) {
      if (tenants_[i].stay == Stay::wanted) found.push_back(i);
    }
    const auto comes_first = [&](std::size_t a, std::size_t b) {
      const auto since = [&](std::size_t i) { return tenants_[i].waiting_since.value_or(SteadyTime::max()); };
      return since(a) != since(b) ? since(a) < since(b) : a < b;
    };
    std::ranges::sort(found, comes_first);
    return found;
  }

  // False when the others have to wait until it is in.
  bool let_in(std::size_t index) {
    const Tenant& tenant = tenants_[index];
    if (!tenant.claim.fits_into(options_.budget)) {
      decision_.refuse.push_back(index);
      return true;
    }
    if (tenant.claim.fits_into(room_)) {
      decision_.load.push_back(index);
      room_ -= tenant.claim;
      room_to_be_ -= tenant.claim;
      return true;
    }
    if (tenant.waiting == 0) return true;  // Nobody leaves for one that nobody waits for.
    // It fits as soon as those have left that are leaving.
    if (!tenant.claim.fits_into(room_to_be_)) make_room_for(tenant);
    return false;
  }

  void make_room_for(const Tenant& tenant) {
    std::vector<std::size_t> leave;
    Memory room = room_to_be_;
    for (const std::size_t candidate : candidates(tenant)) {
      if (tenant.claim.fits_into(room)) break;
      leave.push_back(candidate);
      room += tenants_[candidate].claim;
    }
    if (!tenant.claim.fits_into(room)) return;
    // Some small ones may have been taken before a large one that is enough.
    std::erase_if(leave, [&](std::size_t candidate) {
      Memory without = room;
      without -= tenants_[candidate].claim;
      if (!tenant.claim.fits_into(without)) return false;
      room = without;
      return true;
    });
    for (const std::size_t candidate : leave) decision_.unload.push_back(candidate);
  }

  // Who may leave for it, in this order: who has nothing to do before who has, the cheapest to bring back first.
  std::vector<std::size_t> candidates(const Tenant& tenant) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < tenants_.size(); ++i) {
      const Tenant& other = tenants_[i];
      if (other.stay != Stay::in) continue;
      if (has_work(other)) {
        const SteadyTime until = std::max(*tenant.waiting_since, other.in_since) + patience(tenant, other);
        if (now_ < until) {
          ask_again_at(until);
          continue;
        }
      }
      found.push_back(i);
    }
    const auto comes_first = [&](std::size_t a, std::size_t b) {
      const bool works_a = has_work(tenants_[a]);
      const bool works_b = has_work(tenants_[b]);
      if (works_a != works_b) return works_b;
      return cost_of_return(tenants_[a], now_) < cost_of_return(tenants_[b], now_);
    };
    std::ranges::sort(found, comes_first);
    return found;
  }

  std::chrono::milliseconds patience(const Tenant& tenant, const Tenant& other) const {
    const auto swap = tenant.load_time + other.load_time;
    return std::clamp(options_.patience_in_swaps * swap, options_.patience_min, options_.patience_max);
  }

  void send_idle_away() {
    for (std::size_t i = 0; i < tenants_.size(); ++i) {
      const Tenant& tenant = tenants_[i];
      if (tenant.stay != Stay::in || has_work(tenant) || !tenant.keep_alive) continue;
      if (std::ranges::find(decision_.unload, i) != decision_.unload.end()) continue;
      const SteadyTime until = tenant.used_at + *tenant.keep_alive;
      if (now_ >= until) {
        decision_.unload.push_back(i);
      } else {
        ask_again_at(until);
      }
    }
  }

  void ask_again_at(SteadyTime time) { decision_.next = std::min(decision_.next.value_or(time), time); }

  std::span<const Tenant> tenants_;
  SteadyTime now_;
  const MemoryPlanOptions& options_;
  Memory room_;        // Free at this moment.
  Memory room_to_be_;  // Free when those have left that are leaving.
  MemoryDecision decision_;
};

}  // namespace

Excess over_budget(std::span<const Tenant> tenants, SteadyTime now, const MemoryPlanOptions& options) {
  Memory taken;
  std::vector<std::size_t> idle;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    const Tenant& tenant = tenants[i];
    if (tenant.stay == Stay::in || tenant.stay == Stay::arriving) taken += tenant.claim;
    if (tenant.stay == Stay::in && !has_work(tenant)) idle.push_back(i);
  }
  Excess excess{.is_over = !taken.fits_into(options.budget)};
  std::ranges::sort(idle, {}, [&](std::size_t i) { return cost_of_return(tenants[i], now); });
  for (const std::size_t index : idle) {
    if (taken.fits_into(options.budget)) break;
    taken -= tenants[index].claim;
    excess.unload.push_back(index);
  }
  return excess;
}

MemoryDecision plan_memory(std::span<const Tenant> tenants, SteadyTime now, const MemoryPlanOptions& options) {
  return Plan(tenants, now, options).made();
}

}  // namespace gbgreg::fleet

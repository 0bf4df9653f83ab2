// The free slots of one worker that a request may take, and give back, without asking the fleet's thread.
//
// Asking that thread costs two thread switches, more than all else that is done for a short request. So while nobody
// waits and the worker is well, its scheduler lends its free slots to this gate. When somebody has to wait, or the
// worker is in doubt, the fleet's thread closes the gate and takes back what is in it; a slot that is out then comes
// back as a message. Slots are never lost or doubled: each is in the gate, out, or with the scheduler.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace gbgreg::fleet {

class SlotGate {
 public:
  // Any thread: the life of the worker whose slot was taken; none when the gate is closed or empty.
  std::optional<std::uint64_t> take() noexcept {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    do {
      if (!is_open(state) || free(state) == 0) return std::nullopt;
    } while (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acquire, std::memory_order_relaxed));
    return generation(state);
  }

  // Any thread. False when the gate is closed or of another life: then the fleet's thread has to be told.
  bool give_back(std::uint64_t of_generation) noexcept {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    do {
      if (!is_open(state) || generation(state) != of_generation) return false;
    } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_release, std::memory_order_relaxed));
    return true;
  }

  // Any thread: nobody takes from it any more until the fleet's thread has closed it. For who knows before that thread
  // does that the worker is in doubt. What is in it stays in it.
  void shut(std::uint64_t of_generation) noexcept {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    do {
      if (!is_open(state) || generation(state) != of_generation) return;
    } while (
        !state_.compare_exchange_weak(state, state & ~kOpen, std::memory_order_acq_rel, std::memory_order_relaxed));
  }

  // The fleet's thread: puts `slots` of this life in, beside those of the same life that are in it. One that was shut
  // stays so.
  void lend(std::uint64_t of_generation, int slots) noexcept {
    const std::uint64_t opened = (of_generation << (kFreeBits + 1)) | kOpen;
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    std::uint64_t lent = 0;
    do {
      const bool goes_on = state != 0 && generation(state) == of_generation;
      lent = (goes_on ? state : opened) + static_cast<std::uint64_t>(slots);
    } while (!state_.compare_exchange_weak(state, lent, std::memory_order_release, std::memory_order_relaxed));
  }

  // The fleet's thread: closes it. How many were in it.
  int close() noexcept { return free(state_.exchange(0, std::memory_order_acq_rel)); }

  // Any thread; stale the moment it is known.
  int free() const noexcept { return free(state_.load(std::memory_order_relaxed)); }

 private:
  static constexpr unsigned kFreeBits = 16;  // Far above the slots that an engine has (256).
  static constexpr std::uint64_t kOpen = std::uint64_t{1} << kFreeBits;
  static bool is_open(std::uint64_t state) { return (state & kOpen) != 0; }
  static int free(std::uint64_t state) { return static_cast<int>(state & (kOpen - 1)); }
  static std::uint64_t generation(std::uint64_t state) { return state >> (kFreeBits + 1); }

  std::atomic<std::uint64_t> state_{0};
};

}  // namespace gbgreg::fleet

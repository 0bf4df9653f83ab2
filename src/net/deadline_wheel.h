// All deadlines of one I/O thread on one coarse timer.
//
// A timer per read would cost a heap operation and an allocation per read; here arming and disarming is linking a node
// into a list. A deadline fires up to one tick late and never early. One thread only.
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>

#include "core/core.h"

namespace gbgreg::net {

class DeadlineWheel;

// A node of the wheel, owned by what it bounds; taken off the wheel by its destructor.
class Deadline {
 public:
  Deadline() = default;
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  virtual ~Deadline() { disarm(); }

  void disarm();
  bool armed() const { return wheel_ != nullptr; }

 protected:
  // The time is up. The node is already off the wheel and may be armed again.
  virtual void expired() = 0;

 private:
  friend class DeadlineWheel;
  DeadlineWheel* wheel_ = nullptr;
  Deadline* previous_ = nullptr;
  Deadline* next_ = nullptr;
  std::size_t slot_ = 0;
  std::uint64_t tick_ = 0;
};

class DeadlineWheel {
 public:
  static constexpr std::chrono::milliseconds kTick{50};
  static constexpr std::size_t kSlots = 512;

  explicit DeadlineWheel(IoContext& context);

  // Arms anew when it was armed before.
  void arm(Deadline& deadline, std::chrono::milliseconds from_now);

 private:
  friend class Deadline;
  void unlink(Deadline& deadline);
  void link(Deadline& deadline, std::size_t slot);
  void schedule();
  void turn();
  std::uint64_t now_tick() const;

  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor> timer_;
  std::chrono::steady_clock::time_point start_;
  std::array<Deadline*, kSlots> slots_{};
  std::uint64_t turned_to_ = 0;  // Every tick up to this one has been looked at.
  std::size_t armed_ = 0;
  bool ticking_ = false;
};

}  // namespace gbgreg::net

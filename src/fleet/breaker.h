// Whether an outside server may be given requests, by how it has answered: a circuit breaker. Pure.
//
//   closed ──three failures in a row, or nobody there──► open ──after a delay, a check passes──► half_open
//     ▲                                                   ▲  └─ a check fails: a longer delay          │
//     └──────────────── its one request succeeds ─────────┼──────────────── its one request fails ─────┘
#pragma once

#include <chrono>
#include <cstdint>

#include "core/core.h"

namespace gbgreg::fleet {

class Breaker {
 public:
  enum class State : std::uint8_t {
    closed,     // All its slots may be used.
    open,       // None may; a check is due at check_at().
    half_open,  // One request at a time may try.
  };
  static constexpr int kFailuresUntilOpen = 3;  // In a row.
  static constexpr std::chrono::milliseconds kDelayMin{500};
  static constexpr std::chrono::milliseconds kDelayMax{30'000};
  static constexpr std::chrono::milliseconds kCheckInterval{5'000};  // While it is not open.

  // Open until the first check, which is due at once; when that passes it is closed.
  explicit Breaker(SteadyTime now) : check_at_(now) {}

  State state() const { return state_; }
  bool has_been_asked() const { return was_checked_; }
  SteadyTime check_at() const { return check_at_; }
  int failures() const { return failures_; }  // In a row; those that opened it included.

  void check_passed(SteadyTime now);
  void check_failed(SteadyTime now);
  void request_succeeded();
  void request_failed(SteadyTime now);
  // Nobody takes the connection, or the key is refused: no need for a second look.
  void cannot_be_used(SteadyTime now);

 private:
  void open(SteadyTime now);

  State state_ = State::open;
  bool was_checked_ = false;
  bool has_failed_ = false;  // Since it was last closed.
  int failures_ = 0;         // In a row.
  std::chrono::milliseconds delay_ = kDelayMin;
  SteadyTime check_at_;
};

}  // namespace gbgreg::fleet

// Time comes in from outside, so that tests bring their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gbgreg {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

// Any thread may call it.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime steady() const = 0;
  virtual WallTime wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
};

// "2026-01-31T09:05:07.123Z": RFC 3339 in UTC with milliseconds.
std::string rfc3339(WallTime time);

// What rfc3339() wrote, and nothing else.
std::optional<WallTime> parse_rfc3339(std::string_view text);

inline std::int64_t milliseconds_between(SteadyTime from, SteadyTime to) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count();
}

}  // namespace gbgreg

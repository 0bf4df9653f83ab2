#include "core/clock.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gbgreg {
namespace {

constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd.dddZ";

}  // namespace

// One a request is written, so digits are set by hand.
std::string rfc3339(WallTime time) {
  namespace chrono = std::chrono;
  const auto ms = chrono::floor<chrono::milliseconds>(time);
  const auto midnight = chrono::floor<chrono::days>(ms);
  const chrono::year_month_day day{midnight};
  const chrono::hh_mm_ss clock{ms - midnight};
  std::string text(kForm);
  const auto put = [&text](std::size_t at, std::size_t digits, auto value) {
    auto rest = static_cast<std::uint64_t>(value);
    for (; digits > 0; --digits, rest /= 10) text[at + digits - 1] = static_cast<char>('0' + rest % 10);
  };
  put(0, 4, std::clamp(static_cast<int>(day.year()), 0, 9999));
  put(5, 2, static_cast<unsigned>(day.month()));
  put(8, 2, static_cast<unsigned>(day.day()));
  put(11, 2, clock.hours().count());
  put(14, 2, clock.minutes().count());
  put(17, 2, clock.seconds().count());
  put(20, 3, clock.subseconds().count());
  return text;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == 'd' ? !is_digit : text[i] != kForm[i]) return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (const char digit : text.substr(at, digits)) value = 10 * value + (digit - '0');
    return value;
  };
  namespace chrono = std::chrono;
  const chrono::year_month_day day{chrono::year{number(0, 4)}, chrono::month{static_cast<unsigned>(number(5, 2))},
                                   chrono::day{static_cast<unsigned>(number(8, 2))}};
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return chrono::sys_days{day} + chrono::hours{hour} + chrono::minutes{minute} + chrono::seconds{second} +
         chrono::milliseconds{number(20, 3)};
}

}  // namespace gbgreg

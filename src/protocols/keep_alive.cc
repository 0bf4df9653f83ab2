#include "protocols/keep_alive.h"

#include <charconv>
#include <cmath>

namespace gbgreg::protocols {
namespace {

constexpr double kKeepAliveSecondsMax = 1e9;  // Thirty years; Ollama counts in nanoseconds and ends at 292.

// Go's durations: "1h30m", "300ms", "-1s", "0".
std::optional<double> duration_seconds(std::string_view text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  // "ms" stands before "m", which is its beginning.
  constexpr Unit kUnits[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\xC2\xB5s", 1e-6}, {"ms", 1e-3},
                             {"s", 1},     {"m", 60},    {"h", 3600}};
  double sign = 1;
  if (text.starts_with('-') || text.starts_with('+')) {
    if (text.front() == '-') sign = -1;
    text.remove_prefix(1);
  }
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    if ((text.front() < '0' || text.front() > '9') && text.front() != '.') return std::nullopt;
    double amount = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), amount, std::chars_format::fixed);
    if (parsed.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    const Unit* unit = nullptr;
    for (const auto& known : kUnits) {
      if (unit == nullptr && text.starts_with(known.name)) unit = &known;
    }
    if (unit == nullptr) return std::nullopt;
    text.remove_prefix(unit->name.size());
    total += amount * unit->seconds;
  }
  return sign * total;
}

}  // namespace

Result<void> read_keep_alive(JsonValue& value, std::optional<std::chrono::milliseconds>& out) {
  std::optional<double> seconds;
  if (value.type() == JsonType::text) {
    std::string_view text;
    if (auto read = value.read_text(text); !read) return read;
    seconds = duration_seconds(text);
    if (!seconds) return value.must_be("a duration such as \"5m\" or \"1h30m\", or a number of seconds");
  } else if (value.type() == JsonType::number || value.type() == JsonType::null) {
    if (auto read = value.read_number(seconds, -kKeepAliveSecondsMax, kKeepAliveSecondsMax); !read) return read;
    if (!seconds) return {};
  } else {
    return value.must_be("a duration such as \"5m\" or \"1h30m\", or a number of seconds");
  }
  if (!(std::fabs(*seconds) <= kKeepAliveSecondsMax)) return value.must_be("a duration of at most thirty years");
  out = std::chrono::milliseconds(std::llround(*seconds * 1000));
  return {};
}

}  // namespace gbgreg::protocols

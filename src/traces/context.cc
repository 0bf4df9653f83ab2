#include "traces/context.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <span>

#include "net/grammar.h"

namespace gbgreg::traces {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr std::size_t kTraceAt = 3;
constexpr std::size_t kSpanAt = 36;
constexpr std::size_t kFlagsAt = 53;
constexpr std::size_t kBytes = 55;  // Of version 00, and of the part of later ones that is known.
constexpr std::uint8_t kSampled = 1;

void append_hex(std::string& out, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    out.push_back(kDigits[byte >> 4U]);
    out.push_back(kDigits[byte & 15U]);
  }
}

template <class Id>
std::string hex_of(const Id& id) {
  std::string text;
  text.reserve(2 * id.size());
  append_hex(text, id);
  return text;
}

// False for anything but small hex digits.
bool read_hex(std::string_view text, std::span<std::uint8_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t high = kDigits.find(text[2 * i]);
    const std::size_t low = kDigits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return false;
    out[i] = static_cast<std::uint8_t>(high << 4U | low);
  }
  return true;
}

bool is_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::uint64_t roll() {
  thread_local std::mt19937_64 dice = [] {
    std::random_device device;
    std::array<std::uint32_t, 8> words{};
    std::ranges::generate(words, std::ref(device));
    std::seed_seq seed(words.begin(), words.end());
    return std::mt19937_64(seed);
  }();
  return dice();
}

// Never all zero.
template <class Id>
Id new_id() {
  Id id{};
  while (is_zero(id)) {
    for (std::size_t at = 0; at < id.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t number = roll();
      std::memcpy(id.data() + at, &number, sizeof(number));
    }
  }
  return id;
}

// Several fields are one list.
std::string read_state(const net::RequestHead& head) {
  std::string state;
  for (const net::Field& field : head.fields) {
    if (!net::equal_ignoring_case(field.name, "tracestate") || field.value.empty()) continue;
    if (!state.empty()) state.push_back(',');
    state.append(field.value);
    if (state.size() > kStateBytesMax) return {};
  }
  return is_plain(state) ? state : std::string{};
}

}  // namespace

std::string hex(const TraceId& id) { return hex_of(id); }
std::string hex(const SpanId& id) { return hex_of(id); }

std::optional<Context> parse_traceparent(std::string_view text) {
  if (text.size() < kBytes || text.size() > kParentBytesMax || text[2] != '-' || text[kSpanAt - 1] != '-' ||
      text[kFlagsAt - 1] != '-') {
    return std::nullopt;
  }
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  Context context;
  const bool is_hex = read_hex(text, version) && read_hex(text.substr(kTraceAt), context.trace) &&
                      read_hex(text.substr(kSpanAt), context.span) && read_hex(text.substr(kFlagsAt), flags);
  if (!is_hex || version[0] == 0xff || is_zero(context.trace) || is_zero(context.span)) return std::nullopt;
  const std::string_view more = text.substr(kBytes);
  if (!more.empty() && (version[0] == 0 || more[0] != '-' || !is_plain(more))) return std::nullopt;
  context.is_sampled = (flags[0] & kSampled) != 0;
  return context;
}

std::string write_traceparent(const Context& context) {
  std::string text = "00-";
  text.reserve(kBytes);
  append_hex(text, context.trace);
  text.push_back('-');
  append_hex(text, context.span);
  text.append(context.is_sampled ? "-01" : "-00");
  return text;
}

std::optional<Sent> read_context(const net::RequestHead& head) {
  std::optional<std::string_view> parent;
  for (const net::Field& field : head.fields) {
    if (!net::equal_ignoring_case(field.name, "traceparent")) continue;
    if (parent) return std::nullopt;
    parent = field.value;
  }
  const auto context = parent ? parse_traceparent(*parent) : std::nullopt;
  if (!context) return std::nullopt;
  return Sent{.context = *context, .state = read_state(head)};
}

std::string write_fields(const Context& context, std::string_view state) {
  std::string fields = "traceparent: ";
  fields.append(write_traceparent(context)).append("\r\n");
  if (!state.empty()) fields.append("tracestate: ").append(state).append("\r\n");
  return fields;
}

TraceId new_trace_id() { return new_id<TraceId>(); }
SpanId new_span_id() { return new_id<SpanId>(); }

// By its last 56 bits, which the recommendation wants to be random whoever made it.
bool is_among(const TraceId& id, double ratio) {
  constexpr std::size_t kRandomBytes = 7;
  std::uint64_t number = 0;
  for (std::size_t i = id.size() - kRandomBytes; i < id.size(); ++i) number = number << 8U | id[i];
  return static_cast<double>(number) < ratio * std::ldexp(1.0, 8 * kRandomBytes);
}

}  // namespace gbgreg::traces

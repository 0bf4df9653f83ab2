// W3C Trace Context: which trace a request belongs to, as its header fields say it. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http_head.h"

namespace gbgreg::traces {

// All zero is none.
using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

std::string hex(const TraceId& id);
std::string hex(const SpanId& id);

struct Context {
  TraceId trace{};
  SpanId span{};  // That of whoever asks.
  bool is_sampled = false;

  bool operator==(const Context&) const = default;
};

// Far beyond what version 00 has; a later one may be longer.
inline constexpr std::size_t kParentBytesMax = 256;

// "00-…-…-01", strictly: small hex digits, no id of zeros, and behind a version that is not known yet only plain
// characters that begin with a dash. Nothing for anything else.
std::optional<Context> parse_traceparent(std::string_view text);
std::string write_traceparent(const Context& context);

// What a client sent, where that is valid.
struct Sent {
  Context context;
  std::string state = {};  // The list of its tracestate fields; empty without one, or when it cannot be passed on.
};

// What is longer is left out, as the recommendation allows.
inline constexpr std::size_t kStateBytesMax = 512;

// Nothing without a traceparent, with several, and with one that is not valid.
std::optional<Sent> read_context(const net::RequestHead& head);

// The header fields for whoever is asked next, each with its end of line.
std::string write_fields(const Context& context, std::string_view state);

// A new one, from random numbers of the thread's own.
TraceId new_trace_id();
SpanId new_span_id();

// Whether a trace is among so many of all, by its id: all who ask come to the same answer.
bool is_among(const TraceId& id, double ratio);

}  // namespace gbgreg::traces

// A span as it is sent: a piece of work with its times and what is to be said of it. A value.
//
// Nothing in it is a client's text but the request id that it chose itself, and the state that it sent for others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/clock.h"
#include "traces/context.h"

namespace gbgreg::traces {

enum class SpanKind : std::uint8_t { internal = 1, server = 2, client = 3 };  // By OTLP's numbers.

struct Attribute {
  std::string_view key;  // One of our own names: it outlives the span.
  std::variant<std::string, std::int64_t> value;
};

struct Span {
  TraceId trace{};
  SpanId id{};
  SpanId parent{};         // All zero of one that begins a trace.
  std::string state = {};  // The tracestate that came with it.
  std::string name;
  SpanKind kind = SpanKind::internal;
  WallTime start = {};
  WallTime end = {};
  std::vector<Attribute> attributes = {};
  std::string error = {};  // The code of what went wrong; empty of one that went well.
};

// Where spans go that are over.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  // All spans of a request, or none of them. Any thread; never waits.
  virtual void take(std::vector<Span> spans) = 0;
};

}  // namespace gbgreg::traces

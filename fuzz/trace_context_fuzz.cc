// Trace context as anybody may send it: what is taken for valid is written the way it was read, and nothing breaks a
// header field.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "traces/context.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace traces = gbgreg::traces;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(text.find('\n'), text.size());
  const std::string_view parent = text.substr(0, line);
  gbgreg::net::RequestHead head;
  head.fields.push_back({.name = "traceparent", .value = parent});
  if (line < text.size()) head.fields.push_back({.name = "tracestate", .value = text.substr(line + 1)});

  const auto context = traces::parse_traceparent(parent);
  const auto sent = traces::read_context(head);
  if (context.has_value() != sent.has_value()) std::abort();
  if (!context) return 0;
  const std::string written = traces::write_traceparent(*context);
  if (traces::parse_traceparent(written) != context) std::abort();
  if (parent.substr(2, 50) != std::string_view(written).substr(2, 50)) std::abort();
  if (sent->state.size() > traces::kStateBytesMax || sent->state.find_first_of("\r\n") != std::string::npos)
    std::abort();
  return 0;
}

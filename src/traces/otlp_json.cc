#include "traces/otlp_json.h"

#include <chrono>
#include <cstdint>

#include "protocols/json_writer.h"

namespace gbgreg::traces {
namespace {

using protocols::JsonWriter;

constexpr int kStatusError = 2;
constexpr std::size_t kSpanBytes = 1024;  // About.

void write_attribute(JsonWriter& json, std::string_view key, std::string_view text) {
  json.open_object();
  json.key("key").text(key);
  json.key("value").open_object();
  json.key("stringValue").text(text);
  json.close_object();
  json.close_object();
}

// Numbers of 64 bits are texts in JSON.
void write_attribute(JsonWriter& json, std::string_view key, std::int64_t number) {
  json.open_object();
  json.key("key").text(key);
  json.key("value").open_object();
  json.key("intValue").text(std::to_string(number));
  json.close_object();
  json.close_object();
}

std::string nanoseconds(WallTime time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

void write_span(JsonWriter& json, const Span& span) {
  json.open_object();
  json.key("traceId").text(hex(span.trace));
  json.key("spanId").text(hex(span.id));
  if (span.parent != SpanId{}) json.key("parentSpanId").text(hex(span.parent));
  if (!span.state.empty()) json.key("traceState").text(span.state);
  json.key("name").text(span.name);
  json.key("kind").number(static_cast<int>(span.kind));
  json.key("startTimeUnixNano").text(nanoseconds(span.start));
  json.key("endTimeUnixNano").text(nanoseconds(span.end));
  json.key("attributes").open_array();
  for (const Attribute& attribute : span.attributes) {
    std::visit([&](const auto& value) { write_attribute(json, attribute.key, value); }, attribute.value);
  }
  if (!span.error.empty()) write_attribute(json, "error.type", span.error);
  json.close_array();
  if (!span.error.empty()) {
    json.key("status").open_object();
    json.key("code").number(kStatusError);
    json.key("message").text(span.error);
    json.close_object();
  }
  json.close_object();
}

}  // namespace

std::string write_otlp(std::span<const Span> spans, std::string_view service, std::string_view version) {
  std::string body;
  body.reserve(kSpanBytes * (spans.size() + 1));
  JsonWriter json(body);
  json.open_object();
  json.key("resourceSpans").open_array().open_object();
  json.key("resource").open_object();
  json.key("attributes").open_array();
  write_attribute(json, "service.name", service);
  write_attribute(json, "service.version", version);
  json.close_array();
  json.close_object();
  json.key("scopeSpans").open_array().open_object();
  json.key("scope").open_object();
  json.key("name").text("gbgreg");
  json.key("version").text(version);
  json.close_object();
  json.key("spans").open_array();
  for (const Span& span : spans) write_span(json, span);
  json.close_array();
  json.close_object();
  json.close_array();
  json.close_object();
  json.close_array();
  json.close_object();
  return body;
}

}  // namespace gbgreg::traces

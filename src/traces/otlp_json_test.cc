#include "traces/otlp_json.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>

namespace gbgreg::traces {
namespace {

Span span() {
  Span made;
  made.trace.back() = 0xab;
  made.id.back() = 1;
  made.name = "GET /health";
  made.kind = SpanKind::server;
  made.start = WallTime(std::chrono::nanoseconds(1'700'000'000'123'456'789));
  made.end = made.start + std::chrono::milliseconds(2);
  return made;
}

TEST(WriteOtlp, SaysASpanAsTheSchemaWantsIt) {
  Span one = span();
  one.parent.front() = 0xfe;
  one.state = "a=1";
  one.attributes = {{.key = "http.route", .value = "/health"}, {.key = "n", .value = std::int64_t{1} << 60}};
  one.error = "timed_out";
  const std::array spans{one};
  EXPECT_EQ(
      write_otlp(spans, "my \"service\"", "1.2"),
      R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my \"service\""}},)"
      R"({"key":"service.version","value":{"stringValue":"1.2"}}]},)"
      R"("scopeSpans":[{"scope":{"name":"gbgreg","version":"1.2"},"spans":[)"
      R"({"traceId":"000000000000000000000000000000ab","spanId":"0000000000000001","parentSpanId":"fe00000000000000",)"
      R"("traceState":"a=1","name":"GET /health","kind":2,"startTimeUnixNano":"1700000000123456789",)"
      R"("endTimeUnixNano":"1700000000125456789","attributes":[)"
      R"({"key":"http.route","value":{"stringValue":"/health"}},{"key":"n","value":{"intValue":"1152921504606846976"}},)"
      R"({"key":"error.type","value":{"stringValue":"timed_out"}}],"status":{"code":2,"message":"timed_out"}}]}]}]})");
}

TEST(WriteOtlp, LeavesOutWhatThereIsNot) {
  const std::array spans{span(), span()};
  const std::string text = write_otlp(spans, "gbgreg", "1");
  for (const char* key : {"parentSpanId", "traceState", "status", "error.type"}) {
    EXPECT_EQ(text.find(key), std::string::npos) << key;
  }
  EXPECT_NE(text.find(R"("attributes":[]},{"traceId")"), std::string::npos);
}

}  // namespace
}  // namespace gbgreg::traces

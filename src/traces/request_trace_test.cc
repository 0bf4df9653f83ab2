#include "traces/request_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gbgreg::traces {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::SizeIs;

class SteppingClock final : public Clock {
 public:
  SteadyTime steady() const override { return steady_; }
  WallTime wall() const override { return WallTime(1'000s); }
  void step(std::chrono::milliseconds by) { steady_ += by; }

 private:
  SteadyTime steady_{50s};
};

class KeptSpans final : public SpanSink {
 public:
  void take(std::vector<Span> taken) override { spans = std::move(taken); }
  std::vector<Span> spans;
};

class RequestTraceTest : public testing::Test {
 protected:
  static Context context(bool is_sampled = true) {
    return {.trace = new_trace_id(), .span = new_span_id(), .is_sampled = is_sampled};
  }
  static llm::AnswerNotes notes(std::string backend) {
    llm::AnswerNotes made;
    made.role = "technical";
    made.model = "coder";
    made.backend = std::move(backend);
    made.device = "CUDA0";
    return made;
  }
  // Empty when it is not there.
  static std::string text(const Span& span, std::string_view key) {
    for (const Attribute& attribute : span.attributes) {
      if (attribute.key != key) continue;
      if (const auto* number = std::get_if<std::int64_t>(&attribute.value)) return std::to_string(*number);
      return std::get<std::string>(attribute.value);
    }
    return {};
  }

  SteppingClock clock_;
  KeptSpans kept_;
};

TEST_F(RequestTraceTest, HasASpanForTheWholeTheWaitAndTheCall) {
  const Sent sent{.context = context(), .state = "a=1"};
  Context own{.trace = sent.context.trace, .span = new_span_id(), .is_sampled = true};
  RequestTrace trace(&kept_, clock_, own, sent);
  EXPECT_THAT(std::string(trace.fields()), HasSubstr(hex(own.span)));
  const SteadyTime asked = clock_.steady();
  clock_.step(20ms);
  trace.waited(notes("technical/coder"), asked, {});
  trace.asks(notes("technical/coder"));
  const std::string fields(trace.fields());
  clock_.step(300ms);
  trace.told({.prompt_tokens = 7, .completion_tokens = 3}, {});
  clock_.step(5ms);
  trace.end({.method = "POST", .route = "/api/generate", .status = 200, .request_id = "r", .key_id = "k", .error = {}});

  ASSERT_THAT(kept_.spans, SizeIs(3));
  const Span& whole = kept_.spans[0];
  const Span& wait = kept_.spans[1];
  const Span& call = kept_.spans[2];
  for (const Span& span : kept_.spans) {
    EXPECT_EQ(span.trace, sent.context.trace);
    EXPECT_EQ(span.state, "a=1");
    EXPECT_EQ(span.error, "");
    EXPECT_EQ(text(span, "gbgreg.role"), "technical");
    EXPECT_EQ(text(span, "gbgreg.device"), "CUDA0");
  }
  EXPECT_EQ(whole.name, "POST /api/generate");
  EXPECT_EQ(whole.id, own.span);
  EXPECT_EQ(whole.parent, sent.context.span);
  EXPECT_EQ(whole.end - whole.start, 325ms);
  EXPECT_EQ(whole.start, WallTime(1'000s));
  EXPECT_EQ(text(whole, "http.response.status_code"), "200");
  EXPECT_EQ(text(whole, "gbgreg.key_id"), "k");
  EXPECT_EQ(text(whole, "gen_ai.usage.output_tokens"), "3");
  EXPECT_EQ(wait.parent, own.span);
  EXPECT_EQ(wait.end - wait.start, 20ms);
  EXPECT_EQ(call.parent, own.span);
  EXPECT_EQ(call.kind, SpanKind::client);
  EXPECT_EQ(call.end - call.start, 300ms);
  EXPECT_EQ(text(call, "gen_ai.usage.input_tokens"), "7");
  EXPECT_THAT(fields, HasSubstr(hex(own.trace) + "-" + hex(call.id) + "-01\r\ntracestate: a=1\r\n"));
}

TEST_F(RequestTraceTest, SaysWhatFailedAndWhoWasAskedAfterwards) {
  RequestTrace trace(&kept_, clock_, context(), std::nullopt);
  trace.asks(notes("technical/coder@den"));
  const std::string first(trace.fields());
  trace.told({}, "backend_failed");
  trace.waited(notes("technical/coder@attic"), clock_.steady(), "busy");
  trace.asks(notes("technical/coder@attic"));
  EXPECT_NE(trace.fields(), first);
  trace.end({.method = {}, .route = {}, .status = 499, .request_id = "r", .key_id = {}, .error = "client_left"});
  ASSERT_THAT(kept_.spans, SizeIs(4));
  EXPECT_EQ(kept_.spans[0].name, "HTTP");
  EXPECT_EQ(kept_.spans[0].parent, SpanId{});
  EXPECT_EQ(kept_.spans[0].error, "");
  EXPECT_EQ(text(kept_.spans[0], "error.type"), "client_left");
  EXPECT_EQ(text(kept_.spans[0], "gbgreg.backend"), "technical/coder@attic");
  EXPECT_EQ(text(kept_.spans[0], "http.request.method"), "_OTHER");
  EXPECT_EQ(kept_.spans[1].error, "backend_failed");
  EXPECT_EQ(kept_.spans[2].error, "busy");
  // Nobody said how that one ended.
  EXPECT_EQ(kept_.spans[3].error, "cancelled");
  EXPECT_EQ(kept_.spans[3].end, kept_.spans[0].end);
}

TEST_F(RequestTraceTest, PassesOnWhatIsNotRecorded) {
  const Context own = context(false);
  RequestTrace trace(nullptr, clock_, own, std::nullopt);
  const std::string fields = "traceparent: " + write_traceparent(own) + "\r\n";
  EXPECT_THAT(fields, HasSubstr("-00\r\n"));
  trace.waited(notes("technical/coder"), clock_.steady(), {});
  trace.asks(notes("technical/coder"));
  trace.told({}, {});
  EXPECT_EQ(trace.fields(), fields);
  trace.end({.method = "GET", .route = "/", .status = 200, .request_id = "r", .key_id = {}, .error = {}});

  RequestTrace passing("traceparent: x\r\n");
  passing.asks(notes("technical/coder"));
  EXPECT_EQ(passing.fields(), "traceparent: x\r\n");
  passing.end({.method = "GET", .route = "/", .status = 200, .request_id = "r", .key_id = {}, .error = {}});
}

}  // namespace
}  // namespace gbgreg::traces

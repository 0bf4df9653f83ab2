#include "traces/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace gbgreg::traces {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";
const std::string kGood = "00-" + kTrace + "-" + kSpan + "-01";

TEST(Traceparent, ComesBackFromItsText) {
  const auto context = parse_traceparent(kGood);
  ASSERT_TRUE(context);
  EXPECT_EQ(hex(context->trace), kTrace);
  EXPECT_EQ(hex(context->span), kSpan);
  EXPECT_TRUE(context->is_sampled);
  EXPECT_EQ(write_traceparent(*context), kGood);
}

TEST(Traceparent, SaysByOneBitWhetherItIsSampled) {
  struct Case {
    const char* flags;
    bool is_sampled;
  };
  for (const auto& c : {Case{"00", false}, Case{"01", true}, Case{"02", false}, Case{"03", true}, Case{"ff", true}}) {
    std::string sent = "00-";
    sent.append(kTrace).append("-").append(kSpan).append("-").append(c.flags);
    const auto context = parse_traceparent(sent);
    ASSERT_TRUE(context) << c.flags;
    EXPECT_EQ(context->is_sampled, c.is_sampled) << c.flags;
  }
}

TEST(Traceparent, OfALaterVersionIsReadAsFarAsItIsKnown) {
  const std::string rest = kGood.substr(2);
  EXPECT_TRUE(parse_traceparent("01" + rest));
  EXPECT_TRUE(parse_traceparent("cc" + rest + "-what-comes-later"));
  EXPECT_FALSE(parse_traceparent("cc" + rest + ".what-comes-later"));
  EXPECT_FALSE(parse_traceparent("cc" + rest + "-\x80"));
  EXPECT_TRUE(parse_traceparent("cc" + rest + "-" + std::string(kParentBytesMax - kGood.size() - 1, 'x')));
  EXPECT_FALSE(parse_traceparent("cc" + rest + "-" + std::string(kParentBytesMax - kGood.size(), 'x')));
  EXPECT_FALSE(parse_traceparent("ff" + rest));
  EXPECT_FALSE(parse_traceparent("00" + rest + "-more"));
}

TEST(Traceparent, IsIgnoredWhenAnythingIsWrongWithIt) {
  for (std::size_t size = 0; size < kGood.size(); ++size) EXPECT_FALSE(parse_traceparent(kGood.substr(0, size)));
  for (std::size_t at = 0; at < kGood.size(); ++at) {
    for (const char c : {'g', 'A', ' ', '\0', '\x80', 'x'}) {
      std::string bad = kGood;
      bad[at] = c;
      EXPECT_FALSE(parse_traceparent(bad)) << bad;
    }
  }
  EXPECT_FALSE(parse_traceparent("00-" + std::string(32, '0') + "-" + kSpan + "-01"));
  EXPECT_FALSE(parse_traceparent("00-" + kTrace + "-" + std::string(16, '0') + "-01"));
}

class ReadContext : public testing::Test {
 protected:
  void add(std::string_view name, std::string_view value) { head_.fields.push_back({.name = name, .value = value}); }
  net::RequestHead head_;
};

TEST_F(ReadContext, FindsItInAnyCaseWithItsState) {
  add("Accept", "*/*");
  add("TraceParent", kGood);
  add("tracestate", "a=1");
  add("Tracestate", "");
  add("TRACESTATE", "b=2,c=3");
  const auto sent = read_context(head_);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->state, "a=1,b=2,c=3");
  EXPECT_EQ(write_fields(sent->context, sent->state), "traceparent: " + kGood + "\r\ntracestate: a=1,b=2,c=3\r\n");
  EXPECT_EQ(write_fields(sent->context, ""), "traceparent: " + kGood + "\r\n");
}

TEST_F(ReadContext, IsNothingWithoutOneOrWithSeveral) {
  add("tracestate", "a=1");
  EXPECT_FALSE(read_context(head_));
  add("traceparent", kGood);
  EXPECT_TRUE(read_context(head_));
  add("traceparent", kGood);
  EXPECT_FALSE(read_context(head_));
}

TEST_F(ReadContext, LeavesOutAStateThatIsTooLongOrNotPlain) {
  const std::string longest(kStateBytesMax, 'a');
  const std::string longer(kStateBytesMax + 1, 'a');
  struct Case {
    std::string state;
    std::string wanted;
  };
  for (const auto& c : {Case{longest, longest}, Case{longer, ""}, Case{"a=\x80", ""}, Case{"a=\t", ""}}) {
    head_.fields.clear();
    add("traceparent", kGood);
    add("tracestate", c.state);
    EXPECT_EQ(read_context(head_)->state, c.wanted);
  }
}

TEST(NewIds, AreNotAlikeAndNotZero) {
  EXPECT_NE(new_trace_id(), new_trace_id());
  EXPECT_NE(new_span_id(), new_span_id());
  EXPECT_NE(new_span_id(), SpanId{});
}

TEST(Sampling, TakesAboutAsManyAsItShould) {
  constexpr int kTraces = 20'000;
  int some = 0;
  for (int i = 0; i < kTraces; ++i) {
    const TraceId id = new_trace_id();
    EXPECT_FALSE(is_among(id, 0));
    EXPECT_TRUE(is_among(id, 1));
    some += is_among(id, 0.25) ? 1 : 0;
  }
  EXPECT_NEAR(some, kTraces / 4.0, kTraces / 40.0);  // Eight times the deviation.
}

}  // namespace
}  // namespace gbgreg::traces

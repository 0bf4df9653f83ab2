#include "backends/compact_json.h"

#include <gtest/gtest.h>

namespace gbgreg::backends {
namespace {

std::string compacted(std::string_view text, bool is_stream, std::size_t piece, std::string_view model = {}) {
  CompactJson compact(is_stream, model);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) out += compact.feed(text.substr(at, piece));
  return out;
}

TEST(CompactJson, LeavesBlanksOutBetweenTokensAndNoneOutOfStrings) {
  for (const std::size_t piece : {1U, 2U, 7U, 1000U}) {
    EXPECT_EQ(compacted("data: {\"a\": \"b  \\\" c\", \"d\" : [1, 2]}\n\ndata: [DONE]\n", true, piece),
              "data:{\"a\":\"b  \\\" c\",\"d\":[1,2]}\n\ndata:[DONE]\n");
    EXPECT_EQ(compacted("{\n  \"a\": 1,\r\n  \"b\": \"\\\\\"\n}", false, piece), "{\"a\":1,\"b\":\"\\\\\"}");
  }
}

TEST(CompactJson, BeginsAnewBehindALineThatIsNoJson) {
  EXPECT_EQ(compacted(": it's \"open\ndata: {\"a\": 1}\n", true, 3), ":it's\"open\ndata:{\"a\":1}\n");
}

TEST(CompactJson, PutsOurNameOfTheModelInPlaceOfTheServers) {
  struct Case {
    const char* from;
    const char* to;
  };
  const Case cases[] = {
      {R"({"model": "theirs", "a": 1})", R"({"model":"our\"s","a":1})"},
      {R"({"a": {"model": "deep"}, "b": ["model", "x"], "model" : "th\"eirs"})",
       R"({"a":{"model":"deep"},"b":["model","x"],"model":"our\"s"})"},
      {R"({"a":"model","model2":"x","mode":"y","c":"model"})", R"({"a":"model","model2":"x","mode":"y","c":"model"})"},
      {R"({"model":null,"a":"x"})", R"({"model":null,"a":"x"})"},
      {R"({"model":{"model":"x"},"a":"model","b":"x"})", R"({"model":{"model":"x"},"a":"model","b":"x"})"},
      {R"({"model":""})", R"({"model":"our\"s"})"},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {1U, 2U, 5U, 1000U}) {
      EXPECT_EQ(compacted(c.from, false, piece, "our\"s"), c.to);
      const std::string event = std::string("data: ") + c.from + "\n\n";
      EXPECT_EQ(compacted(event + event, true, piece, "our\"s"),
                std::string("data:") + c.to + "\n\ndata:" + c.to + "\n\n");
    }
  }
}

}  // namespace
}  // namespace gbgreg::backends

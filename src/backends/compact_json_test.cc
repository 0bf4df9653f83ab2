#include "backends/compact_json.h"

#include <gtest/gtest.h>

namespace gbgreg::backends {
namespace {

std::string compacted(std::string_view text, bool is_stream, std::size_t piece) {
  CompactJson compact(is_stream);
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

}  // namespace
}  // namespace gbgreg::backends

#include "models/fetch.h"

#include <gtest/gtest.h>

#include "models/pull.h"

namespace gbgreg::models {
namespace {

FetchHead read(std::initializer_list<const char*> lines) {
  FetchHead head;
  for (const char* line : lines) read_field(line, head);
  return head;
}

TEST(ReadField, TakesWhatMatters) {
  const FetchHead head = read({"HTTP/1.1 206 Partial Content\r\n", "Content-Length: 100\r\n",
                               "content-range: bytes 100-199/200\r\n", "ETag: \"abc\"\r\n"});
  EXPECT_EQ(head.status, 206);
  EXPECT_EQ(head.length, 100U);
  EXPECT_EQ(head.range_from, 100U);
  EXPECT_EQ(head.range_total, 200U);
  EXPECT_EQ(head.etag, "\"abc\"");
}

TEST(ReadField, TakesNothingFromWhatIsNotAsItShouldBe) {
  const FetchHead head =
      read({"HTTP/", "HTTP/1.1", "Content-Length: -5", "Content-Length: 5x", "Content-Range: bytes */200",
            "Content-Range: bytes 1-", "ETag: W/\"weak\"", "ETag: \"", "X-Linked-Etag: \"short\"", ":", ""});
  EXPECT_EQ(head.status, 0);
  EXPECT_FALSE(head.length);
  EXPECT_FALSE(head.range_from);
  EXPECT_EQ(head.etag, "");
  EXPECT_EQ(head.linked_sha256, "");
}

TEST(ReadField, KnowsTheDigestThatHuggingFaceSays) {
  const std::string digest(64, 'b');
  EXPECT_EQ(read({("X-Linked-Etag: \"" + digest + "\"").c_str()}).linked_sha256, digest);
}

TEST(TokenUrl, IsMadeOfWhatTheRegistryAsks) {
  EXPECT_EQ(token_url(R"(Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull")"),
            "https://a.example/token?service=r.example&scope=repository%3Aa%2Fb%3Apull");
  for (const char* field :
       {"", "Basic realm=\"x\"", "Bearer", R"(Bearer realm="file:///etc/passwd")", R"(Bearer realm="https://u@x/")",
        R"(Bearer realm="https://x/)", "Bearer realm=\"https://x/\n\""}) {
    EXPECT_FALSE(token_url(field)) << field;
  }
}

}  // namespace
}  // namespace gbgreg::models

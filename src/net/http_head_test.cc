#include "net/http_head.h"

#include <gtest/gtest.h>

namespace gbgreg::net {
namespace {

const Options kOptions;

Result<RequestHead> parse(std::string_view bytes) { return parse_request_head(bytes, kOptions); }

TEST(ParseRequestHead, ReadsAnOrdinaryRequest) {
  const auto head =
      parse("POST /api/generate?a=1 HTTP/1.1\r\nHost: localhost:3333\r\nContent-Length:  12 \r\nX-Empty:\r\n\r\n");
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->path, "/api/generate");
  EXPECT_EQ(head->query, "a=1");
  EXPECT_EQ(head->host, "localhost");
  EXPECT_EQ(head->framing, Framing::length);
  EXPECT_EQ(head->content_length, 12U);
  EXPECT_TRUE(head->keep_alive);
  EXPECT_EQ(head->field("x-empty"), "");
  EXPECT_EQ(head->field("nothing"), std::nullopt);
}

TEST(ParseRequestHead, KnowsWhetherTheConnectionStays) {
  struct Case {
    const char* bytes;
    bool keep_alive;
  };
  const Case cases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
      {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.bytes);
    const auto head = parse(c.bytes);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->keep_alive, c.keep_alive);
  }
}

TEST(ParseRequestHead, TakesTheAbsoluteFormOfAProxysClient) {
  struct Case {
    const char* target;
    const char* path;
    const char* query;
  };
  const Case cases[] = {
      {"http://host:1/x?y", "/x", "y"},
      {"HTTPS://HOST/x", "/x", ""},
      {"http://host", "/", ""},
      {"http://host?y=http://b/c", "/", "y=http://b/c"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.target);
    const std::string bytes = "GET " + std::string(c.target) + " HTTP/1.1\r\nHost: other\r\n\r\n";
    const auto head = parse(bytes);
    ASSERT_TRUE(head) << head.error().message;
    EXPECT_EQ(head->path, c.path);
    EXPECT_EQ(head->query, c.query);
    EXPECT_EQ(head->host, "host") << "the authority of the target goes before the Host field";
  }
}

TEST(ParseRequestHead, KnowsTheHostWithoutItsPortInLowerCase) {
  struct Case {
    const char* field;
    const char* want;
  };
  const Case cases[] = {{"A", "a"},
                        {"LocalHost:3333", "localhost"},
                        {"10.0.0.1:80", "10.0.0.1"},
                        {"[::1]", "[::1]"},
                        {"[FE80::1]:3333", "[fe80::1]"},
                        {"a:", "a"},
                        {"a_b-c.d", "a_b-c.d"},
                        {"", ""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.field);
    const std::string bytes = "GET / HTTP/1.1\r\nHost: " + std::string(c.field) + "\r\n\r\n";
    const auto head = parse(bytes);
    ASSERT_TRUE(head) << head.error().message;
    EXPECT_EQ(head->host, c.want);
  }
  EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n")->host, std::nullopt);
}

TEST(ParseRequestHead, RefusesWhatTwoParsersCouldReadDifferently) {
  struct Case {
    const char* why;
    std::string bytes;
    Kind want = Kind::malformed;
  };
  using namespace std::string_literals;
  const Case cases[] = {
      {"no host", "GET / HTTP/1.1\r\n\r\n"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
      {"host with a mark that no name has", "GET / HTTP/1.1\r\nHost: a`b\r\n\r\n"},
      {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {"bare LF", "GET / HTTP/1.1\nHost: a\n\n"},
      {"bare CR", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"},
      {"obs-fold", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"},
      {"blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
      {"no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n"},
      {"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
      {"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"s},
      {"control character in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n"},
      {"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
      {"length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
      {"signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},
      {"hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"},
      {"empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
      {"length over 64 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"},
      {"length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"two codings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Kind::unsupported},
      {"other version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", Kind::unknown_version},
      {"no digits in the version", "GET / HTTP/x.1\r\nHost: a\r\n\r\n"},
      {"long version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
      {"no version", "GET /\r\nHost: a\r\n\r\n"},
      {"two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"raw bytes in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"an address inside a relative target", "GET evil?x=http://h/api/version HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"another scheme", "GET ftp://h/api/version HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a target without its host", "GET http:///api/version HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a target with a user", "GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a target with a host, and no Host", "GET http://a/ HTTP/1.1\r\n\r\n"},
      {"host with letters for a port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
      {"host with a port over the bound", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"},
      {"host of a port only", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
      {"host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
      {"host with an empty bracket", "GET / HTTP/1.1\r\nHost: []\r\n\r\n"},
      {"host with bytes behind the bracket", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"},
      {"two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"},
      {"unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n"},
      {"target too long", "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", Kind::target_too_long},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const auto head = parse(c.bytes);
    ASSERT_FALSE(head);
    EXPECT_EQ(head.error().kind, c.want);
    EXPECT_FALSE(head.error().message.empty());
  }
}

TEST(ParseRequestHead, BoundsTheNumberOfFields) {
  std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (std::size_t i = 1; i < kOptions.head_fields_max; ++i) bytes += "X: y\r\n";
  EXPECT_TRUE(parse(bytes + "\r\n"));
  const auto one_more = parse(bytes + "X: y\r\n\r\n");
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().kind, Kind::head_too_large);
}

TEST(FindHeadEnd, FindsItWhereverTheBytesAreCut) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t cut = 0; cut < head.size(); ++cut) {
    EXPECT_EQ(find_head_end(std::string_view(head).substr(0, cut), 0), std::string_view::npos) << cut;
    EXPECT_EQ(find_head_end(head + "body", cut), head.size()) << cut;
  }
}

TEST(FindHeadEnd, StopsAtABlankLineOfBareLineFeedsSoThatItIsRefusedAtOnce) {
  EXPECT_NE(find_head_end("GET / HTTP/1.1\n\n", 0), std::string_view::npos);
}

TEST(ParseResponseHead, KnowsHowTheBodyEnds) {
  struct Case {
    const char* bytes;
    const char* method;
    Framing want;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "POST", Framing::length},
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "POST", Framing::none},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "POST", Framing::chunked},
      {"HTTP/1.1 200 OK\r\n\r\n", "POST", Framing::until_close},
      {"HTTP/1.1 204 No\r\n\r\n", "POST", Framing::none},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", Framing::none},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.bytes);
    const auto head = parse_response_head(c.bytes, c.method, kOptions);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->framing, c.want);
  }
}

TEST(ParseResponseHead, TakesGarbageForABackendsFailure) {
  for (const char* bytes : {"HTTP/1.1 20\r\n\r\n", "HTTP/1.1 999 X\r\n\r\n", "ICY 200 OK\r\n\r\n", "\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n"}) {
    SCOPED_TRACE(bytes);
    const auto head = parse_response_head(bytes, "POST", kOptions);
    ASSERT_FALSE(head);
    EXPECT_EQ(head.error().kind, Kind::backend_failed);
  }
}

TEST(PercentDecode, DecodesCleanUtf8AndNothingElse) {
  EXPECT_EQ(percent_decode("a%20b+c", false), "a b+c");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("%C3%A9", false), "\xc3\xa9");
  for (const char* bad : {"%", "%4", "%zz", "%00", "%C3", "%C0%AF", "%ED%A0%80", "%F5%80%80%80"}) {
    EXPECT_EQ(percent_decode(bad, false), std::nullopt) << bad;
  }
}

TEST(QueryParameter, FindsTheFirstOfItsName) {
  EXPECT_EQ(query_parameter("limit=5&q=a%20b&q=c", "q")->value(), "a b");
  EXPECT_EQ(*query_parameter("limit=5", "q"), std::nullopt);
  EXPECT_EQ(query_parameter("q", "q")->value(), "");
  EXPECT_FALSE(query_parameter("q=%ff", "q"));
}

}  // namespace
}  // namespace gbgreg::net

#include "net/endpoint.h"

#include <gtest/gtest.h>

namespace gbgreg::net {
namespace {

TEST(ParseEndpoint, ReadsTheFormsWeDocument) {
  EXPECT_EQ(endpoint_text(*parse_endpoint("127.0.0.1:3333")), "http://127.0.0.1:3333");
  EXPECT_EQ(endpoint_text(*parse_endpoint("localhost:80")), "http://127.0.0.1:80");
  EXPECT_EQ(endpoint_text(*parse_endpoint("[::1]:3333")), "http://[::1]:3333");
  EXPECT_EQ(endpoint_text(*parse_endpoint("unix:/tmp/x.sock")), "unix:/tmp/x.sock");
  for (const char* bad : {"", "3333", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "example.com:80", "unix:"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
  EXPECT_FALSE(parse_endpoint("unix:" + std::string(108, 'a')));
}

TEST(ParseListenAddress, KnowsWhichAreForTls) {
  struct Case {
    const char* text;
    bool is_secure;
    const char* shown;
  };
  const Case cases[] = {
      {"127.0.0.1:3333", false, "http://127.0.0.1:3333"},
      {"http://127.0.0.1:3333", false, "http://127.0.0.1:3333"},
      {"https://0.0.0.0:443", true, "https://0.0.0.0:443"},
      {"https://[::1]:443", true, "https://[::1]:443"},
      {"https://localhost:443", true, "https://127.0.0.1:443"},
      {"unix:/tmp/x.sock", false, "unix:/tmp/x.sock"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const auto address = parse_listen_address(c.text);
    ASSERT_TRUE(address) << address.error().message;
    EXPECT_EQ(address->is_secure, c.is_secure);
    EXPECT_EQ(listen_text(*address), c.shown);
  }
  for (const char* bad : {"", "https://", "https://unix:/tmp/x.sock", "http://unix:/x", "https://127.0.0.1:443/",
                          "https://https://127.0.0.1:443", "ftp://127.0.0.1:21", "https://example.com:443"}) {
    EXPECT_FALSE(parse_listen_address(bad)) << bad;
  }
}

TEST(IsLoopback, TellsThisMachineFromTheRest) {
  EXPECT_TRUE(is_loopback(*parse_endpoint("127.0.0.1:1")));
  EXPECT_TRUE(is_loopback(*parse_endpoint("[::1]:1")));
  EXPECT_TRUE(is_loopback(*parse_endpoint("unix:/tmp/x")));
  EXPECT_FALSE(is_loopback(*parse_endpoint("0.0.0.0:1")));
}

}  // namespace
}  // namespace gbgreg::net

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

TEST(IsLoopback, TellsThisMachineFromTheRest) {
  EXPECT_TRUE(is_loopback(*parse_endpoint("127.0.0.1:1")));
  EXPECT_TRUE(is_loopback(*parse_endpoint("[::1]:1")));
  EXPECT_TRUE(is_loopback(*parse_endpoint("unix:/tmp/x")));
  EXPECT_FALSE(is_loopback(*parse_endpoint("0.0.0.0:1")));
}

}  // namespace
}  // namespace gbgreg::net

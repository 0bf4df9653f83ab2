#include "http/web_guard.h"

#include <gtest/gtest.h>

#include "net/options.h"

namespace gbgreg::http {
namespace {

const std::vector<std::string> kHosts{"ai.example.org"};

std::string checked(const std::string& fields, const std::string& method = "POST") {
  const std::string head = method + " /api/generate HTTP/1.1\r\n" + fields + "\r\n";
  const auto parsed = net::parse_request_head(head, net::Options{});
  if (!parsed) return parsed.error().code;
  const auto outcome = check_web_caller(*parsed, kHosts);
  return outcome ? "" : outcome.error().code;
}

TEST(WebGuard, TakesHostsThatNoStrangerCanOwn) {
  for (const char* host :
       {"localhost:3333", "127.0.0.1:3333", "[::1]:3333", "192.168.1.5", "[fe80::1]:80", "box", "Box:80", "box.local",
        "gbgreg.ns.svc.cluster.local", "a.localhost", "BOX.Home.Arpa.", "ai.example.org:443"}) {
    EXPECT_EQ(checked("Host: " + std::string(host) + "\r\n"), "") << host;
  }
}

TEST(WebGuard, RefusesANameThatMayPointHereByDnsRebinding) {
  for (const char* host : {"evil.example", "evil.example:3333", "127.0.0.1.evil.example", "local.evil.example",
                           "xlocal.com", "ai.example.org.evil.example"}) {
    EXPECT_EQ(checked("Host: " + std::string(host) + "\r\n"), "host_not_allowed") << host;
  }
}

TEST(WebGuard, TakesPagesOfItsOwnOfThisMachineAndOfNamedHosts) {
  for (const char* origin : {"http://192.168.1.5:3333", "http://localhost:5173", "http://127.0.0.1",
                             "https://[::1]:8443", "https://ai.example.org", "http://app.localhost"}) {
    EXPECT_EQ(checked("Host: 192.168.1.5:3333\r\nOrigin: " + std::string(origin) + "\r\n"), "") << origin;
  }
}

TEST(WebGuard, RefusesPagesOfOtherSites) {
  for (const char* origin : {"null", "http://evil.example", "http://192.168.1.5", "http://192.168.1.6:3333",
                             "http://localhost.evil.example", "evil", "file://", "http://[::1", "http://localhost:x"}) {
    EXPECT_EQ(checked("Host: 192.168.1.5:3333\r\nOrigin: " + std::string(origin) + "\r\n"), "origin_not_allowed")
        << origin;
  }
  EXPECT_EQ(checked("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", "GET"),
            "origin_not_allowed");
  EXPECT_EQ(checked("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"),
            "origin_not_allowed");
}

TEST(WebGuard, FollowsLinksAndLeavesProgramsAlone) {
  EXPECT_EQ(checked("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", "GET"), "");
  EXPECT_EQ(checked("Host: localhost\r\nSec-Fetch-Site: same-origin\r\n"), "");
  EXPECT_EQ(checked("Host: localhost\r\n"), "");
}

}  // namespace
}  // namespace gbgreg::http

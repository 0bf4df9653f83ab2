#include "http/web_guard.h"

#include <gtest/gtest.h>

#include "net/options.h"

namespace gbgreg::http {
namespace {

const Options kOptions{.hosts = {"ai.example.org"}, .origins = {"https://app.example.net", "tauri://my.app"}};

std::string checked_by(const Options& options, const std::string& fields, const std::string& method = "POST",
                       const std::string& target = "/api/generate") {
  const std::string head = method + " " + target + " HTTP/1.1\r\n" + fields + "\r\n";
  const auto parsed = net::parse_request_head(head, net::Options{});
  if (!parsed) return parsed.error().code;
  const auto outcome = WebGuard(options).check(*parsed);
  return outcome ? "" : outcome.error().code;
}

std::string checked(const std::string& fields, const std::string& method = "POST") {
  return checked_by(kOptions, fields, method);
}

std::string page_at(const std::string& host, const std::string& origin) {
  return "Host: " + host + "\r\nOrigin: " + origin + "\r\n";
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

TEST(WebGuard, KnowsItsOwnPagesHoweverTheirAddressIsWritten) {
  struct Case {
    const char* host;
    const char* origin;
    bool is_own;
  };
  const Case cases[] = {
      {"192.168.1.5:80", "http://192.168.1.5", true},
      {"192.168.1.5", "http://192.168.1.5:80", true},
      {"192.168.1.5:443", "https://192.168.1.5", true},
      {"192.168.1.5", "https://192.168.1.5", true},  // A proxy that speaks TLS stands before us.
      {"BOX.lan.:3333", "http://box.LAN:3333", true},
      {"box.lan:3333", "HTTP://box.lan.:3333", true},
      {"[FE80::1]:3333", "http://[fe80::1]:3333", true},
      {"192.168.1.5:443", "http://192.168.1.5", false},
      {"192.168.1.5:80", "https://192.168.1.5", false},
      {"192.168.1.5:3333", "http://192.168.1.5", false},
      {"box.lan:3333", "http://other.lan:3333", false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(checked(page_at(c.host, c.origin)), c.is_own ? "" : "origin_not_allowed") << c.host << " " << c.origin;
  }
  // Behind a proxy's client the target says whom it means, and the Host field does not count.
  EXPECT_EQ(checked_by(kOptions, page_at("box.lan", "http://10.0.0.1:8080"), "GET", "http://10.0.0.1:8080/health"), "");
  EXPECT_EQ(checked_by(kOptions, page_at("box.lan", "http://box.lan"), "GET", "http://10.0.0.1:8080/health"),
            "origin_not_allowed");
}

TEST(WebGuard, TakesPagesOfConfiguredOriginsAndOnlyThose) {
  for (const char* origin :
       {"https://app.example.net", "https://APP.example.net:443", "https://app.example.net.", "tauri://my.app"}) {
    EXPECT_EQ(checked(page_at("box", origin)), "") << origin;
  }
  for (const char* origin : {"http://app.example.net", "https://app.example.net:8443", "https://x.app.example.net",
                             "https://app.example.net.evil.example", "https://my.app", "https://app.example.net/"}) {
    EXPECT_EQ(checked(page_at("box", origin)), "origin_not_allowed") << origin;
  }
}

TEST(WebGuard, TakesAnyPageWhereEveryRequestNeedsAKey) {
  const Options options{.any_origin = true};
  for (const char* origin : {"https://a.example", "null", "http://localhost:1"}) {
    EXPECT_EQ(checked_by(options, page_at("box", origin)), "") << origin;
  }
  EXPECT_EQ(checked_by(options, page_at("box", "what is this")), "origin_not_allowed");
  // It cannot have a key, and the name is still one that somebody else may own.
  EXPECT_EQ(checked_by(options, "Host: box\r\nSec-Fetch-Site: cross-site\r\n"), "origin_not_allowed");
  EXPECT_EQ(checked_by(options, page_at("evil.example", "http://evil.example")), "host_not_allowed");
}

TEST(WebGuard, NamesThePageThatAsks) {
  const std::string with = "GET / HTTP/1.1\r\nHost: box\r\nOrigin: http://Box\r\n\r\n";
  const std::string without = "GET / HTTP/1.1\r\nHost: box\r\n\r\n";
  const auto page = WebGuard(kOptions).check(*net::parse_request_head(with, net::Options{}));
  ASSERT_TRUE(page && *page);
  EXPECT_EQ(**page, "http://Box");  // As it was sent: the browser compares it with its own.
  EXPECT_EQ(WebGuard(kOptions).check(*net::parse_request_head(without, net::Options{})), std::nullopt);
}

TEST(WebGuard, FollowsLinksAndLeavesProgramsAlone) {
  EXPECT_EQ(checked("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", "GET"), "");
  EXPECT_EQ(checked("Host: localhost\r\nSec-Fetch-Site: same-origin\r\n"), "");
  EXPECT_EQ(checked("Host: localhost\r\n"), "");
}

}  // namespace
}  // namespace gbgreg::http

#include "net/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/test_certificates.h"

namespace gbgreg::net {
namespace {

TEST(ServerUrl, IsTakenApart) {
  struct Case {
    const char* url;
    bool is_secure;
    const char* host;
    int port;
    const char* authority;
    const char* base_path;
  };
  const Case cases[] = {
      {"http://192.168.1.7:11434", false, "192.168.1.7", 11434, "192.168.1.7:11434", ""},
      {"http://Den.Example", false, "den.example", 80, "den.example", ""},
      {"https://den.example/", true, "den.example", 443, "den.example", ""},
      {"https://den.example:8443/v1", true, "den.example", 8443, "den.example:8443", ""},
      {"https://api.example/openai/v1/", true, "api.example", 443, "api.example", "/openai"},
      {"https://api.example/openai", true, "api.example", 443, "api.example", "/openai"},
      {"http://[::1]:8000/", false, "::1", 8000, "[::1]:8000", ""},
      {"https://[::1]", true, "::1", 443, "[::1]", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url);
    const auto url = parse_server_url(c.url);
    ASSERT_TRUE(url) << url.error().message;
    EXPECT_EQ(url->is_secure, c.is_secure);
    EXPECT_EQ(url->host, c.host);
    EXPECT_EQ(url->port, c.port);
    EXPECT_EQ(url->authority, c.authority);
    EXPECT_EQ(url->base_path, c.base_path);
  }
}

TEST(ServerUrl, SaysWhatIsWrongAndRepeatsNoSecret) {
  for (const char* url : {"", "den.example", "ftp://den.example", "http://", "http://:80", "http://den:0",
                          "http://den:99999", "http://den:8x", "http://den:", "http://[::1", "http://[den]",
                          "http://[::1]x", "http://a b", "http://den/v1?key=hidden", "http://den/#hidden",
                          "https://me:hidden@den.example", "http://den\r\nX: y", "http://den/\r\nX"}) {
    SCOPED_TRACE(url);
    const auto parsed = parse_server_url(url);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().kind, Kind::malformed);
    EXPECT_THAT(parsed.error().message, testing::HasSubstr("A url looks like"));
    EXPECT_THAT(parsed.error().message, testing::Not(testing::HasSubstr("hidden")));
  }
}

TEST(ServerAddress, KeepsConnectionsApartThatTrustOthers) {
  const TestCertificates made;
  const auto files = made.make("den");
  const ServerUrl url = *parse_server_url("https://den.example");
  const auto by_system = server_address(url, {});
  const auto by_file = server_address(url, files.certificate);
  ASSERT_TRUE(by_system && by_file);
  EXPECT_NE(by_system->text, by_file->text);
  EXPECT_NE(by_system->text, server_address(*parse_server_url("http://den.example:443"), {})->text);
}

TEST(ServerAddress, SaysWhatIsWrongWithAFileOfAuthorities) {
  const TestCertificates made;
  const auto files = made.make("den");
  const ServerUrl url = *parse_server_url("https://den.example");
  const auto absent = server_address(url, made.path("absent.pem"));
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message, testing::HasSubstr("absent.pem: No such file"));
  const auto other = server_address(url, files.key);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, testing::HasSubstr("there is no certificate in PEM form"));
}

}  // namespace
}  // namespace gbgreg::net

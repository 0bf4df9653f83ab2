#include "keys/grant.h"

#include <gtest/gtest.h>

#include <functional>

namespace gbgreg::keys {
namespace {

const WallTime kSoon{std::chrono::days{20'000}};
const WallTime kLate{std::chrono::days{20'001}};

Rights bounded() {
  return {.roles = std::vector<std::string>{"technical", "vision"},
          .limits = {.requests_per_minute = 10, .tokens_per_minute = 100, .tokens_per_day = 1000},
          .expires_at = kSoon,
          .is_admin = true};
}

TEST(Grant, AnAdminWithoutBoundsMayGiveEverything) {
  const Rights maker{.is_admin = true};
  EXPECT_TRUE(check_grant(maker, maker));
  EXPECT_TRUE(check_grant(maker, bounded()));
  EXPECT_TRUE(check_grant(maker, {}));
}

TEST(Grant, NothingGoesBeyondTheMakersOwn) {
  struct Case {
    const char* what;
    std::function<void(Rights&)> change;
    bool may;
  };
  const Case cases[] = {
      {"the same", [](Rights&) {}, true},
      {"less of everything",
       [](Rights& r) {
         r = {.roles = std::vector<std::string>{"vision"},
              .limits = {.requests_per_minute = 1, .tokens_per_minute = 1, .tokens_per_day = 1},
              .expires_at = kSoon - std::chrono::hours{1}};
       },
       true},
      {"no role at all", [](Rights& r) { r.roles->clear(); }, true},
      {"all roles", [](Rights& r) { r.roles.reset(); }, false},
      {"another role", [](Rights& r) { r.roles->push_back("coordinator"); }, false},
      {"more requests", [](Rights& r) { r.limits.requests_per_minute = 11; }, false},
      {"any number of requests", [](Rights& r) { r.limits.requests_per_minute.reset(); }, false},
      {"more tokens a minute", [](Rights& r) { r.limits.tokens_per_minute = 101; }, false},
      {"any number of tokens a day", [](Rights& r) { r.limits.tokens_per_day.reset(); }, false},
      {"a longer life", [](Rights& r) { r.expires_at = kLate; }, false},
      {"an endless life", [](Rights& r) { r.expires_at.reset(); }, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Rights wanted = bounded();
    c.change(wanted);
    const auto checked = check_grant(bounded(), wanted);
    EXPECT_EQ(checked.has_value(), c.may);
    if (!checked) EXPECT_EQ(checked.error().code, "key_too_strong");
  }
  Rights plain = bounded();
  plain.is_admin = false;
  EXPECT_FALSE(check_grant(plain, bounded()));
}

}  // namespace
}  // namespace gbgreg::keys

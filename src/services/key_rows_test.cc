#include "services/key_rows.h"

#include <gtest/gtest.h>

#include <functional>

namespace gbgreg::services {
namespace {

const WallTime kNow{std::chrono::days{20'000}};

WantedKey bounded() {
  return {.name = "Köln",
          .rights = {.roles = std::vector<std::string>{"technical", "a \"quoted\" one"},
                     .limits = {.requests_per_minute = 1, .tokens_per_minute = 2, .tokens_per_day = 3},
                     .expires_at = kNow + std::chrono::hours{1},
                     .is_admin = true}};
}

TEST(MakeKey, KeepsEverythingButTheSecret) {
  const auto made = make_key(bounded(), kNow);
  ASSERT_TRUE(made);
  EXPECT_TRUE(keys::is_secret(made->secret));
  EXPECT_EQ(made->row.prefix, made->secret.substr(0, 8));
  EXPECT_EQ(made->row.hash, keys::hex_of(keys::hash_of(made->secret)));
  const auto key = key_of(made->row);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->rights, bounded().rights);
  EXPECT_EQ(key->name, "Köln");
  EXPECT_EQ(key->hash, keys::hash_of(made->secret));
  const auto shown = listed(made->row);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->rights, bounded().rights);
  EXPECT_EQ(shown->created_at, kNow);
  EXPECT_EQ(shown->status(kNow), "active");
  EXPECT_EQ(shown->status(kNow + std::chrono::hours{1}), "expired");
}

TEST(MakeKey, RefusesWhatNoKeyCanBe) {
  struct Case {
    const char* what;
    std::function<void(WantedKey&)> change;
  };
  const Case cases[] = {
      {"no name", [](WantedKey& key) { key.name.clear(); }},
      {"a long name", [](WantedKey& key) { key.name = std::string(101, 'x'); }},
      {"a name of two lines", [](WantedKey& key) { key.name = "a\nb"; }},
      {"a name of broken UTF-8", [](WantedKey& key) { key.name = "\xff"; }},
      {"no role at all", [](WantedKey& key) { key.rights.roles->clear(); }},
      {"a role without a name", [](WantedKey& key) { key.rights.roles->emplace_back(); }},
      {"too many roles", [](WantedKey& key) { key.rights.roles->resize(65, "x"); }},
      {"no requests", [](WantedKey& key) { key.rights.limits.requests_per_minute = 0; }},
      {"too many tokens a minute",
       [](WantedKey& key) { key.rights.limits.tokens_per_minute = keys::kPerMinuteMax + 1; }},
      {"less than no tokens a day", [](WantedKey& key) { key.rights.limits.tokens_per_day = -1; }},
      {"expired already", [](WantedKey& key) { key.rights.expires_at = kNow; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    WantedKey wanted = bounded();
    c.change(wanted);
    const auto made = make_key(wanted, kNow);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, "key_invalid");
    EXPECT_EQ(made.error().kind, Kind::malformed);
  }
}

TEST(KeyOf, RefusesARowThatSomebodyElseWrote) {
  const storage::StoredKey good = make_key(bounded(), kNow)->row;
  const std::function<void(storage::StoredKey&)> changes[] = {
      [](storage::StoredKey& row) { row.hash.pop_back(); },
      [](storage::StoredKey& row) { row.roles_json = "technical"; },
      [](storage::StoredKey& row) { row.roles_json = "[1]"; },
      [](storage::StoredKey& row) { row.roles_json = R"([],"x":[])"; },
      [](storage::StoredKey& row) { row.expires_at = "tomorrow"; },
      [](storage::StoredKey& row) { row.revoked_at = ""; },
      [](storage::StoredKey& row) { row.created_at = "2026"; },
  };
  for (std::size_t i = 0; i < std::size(changes); ++i) {
    storage::StoredKey row = good;
    changes[i](row);
    EXPECT_FALSE(key_of(row)) << i;
  }
  storage::StoredKey none = good;
  none.roles_json = "[]";
  EXPECT_FALSE(key_of(none)->rights.may_use("technical")) << "no role is not every role";
}

TEST(UsageRows, ReadBackWhatWasWritten) {
  const keys::Usage usage{.day = keys::day_of(kNow),
                          .requests = 5,
                          .tokens = 6,
                          .requests_full_at = kNow + std::chrono::milliseconds{1500},
                          .tokens_full_at = kNow + std::chrono::microseconds{1}};
  const storage::StoredUsage row = usage_row("id", usage);
  EXPECT_EQ(row.day, day_text(usage.day));
  keys::Usage want = usage;
  want.tokens_full_at = kNow + std::chrono::milliseconds{1};  // Never earlier than it was.
  EXPECT_EQ(usage_of(row), want);
  storage::StoredUsage broken = row;
  broken.day = "2026-13-01";
  EXPECT_FALSE(usage_of(broken));
}

TEST(ReadExpiry, TakesATimeAndNothingElse) {
  EXPECT_EQ(read_expiry("1970-01-02T00:00:00Z").value(), WallTime{std::chrono::days{1}});
  EXPECT_EQ(read_expiry("1970-01-02T00:00:00.001Z").value(),
            WallTime{std::chrono::hours{24}} + std::chrono::milliseconds{1});
  for (const char* text : {"", "Z", "tomorrow", "1970-01-02", "1970-01-02T00:00:00+01:00", "1970-02-30T00:00:00Z"}) {
    EXPECT_FALSE(read_expiry(text)) << text;
  }
}

}  // namespace
}  // namespace gbgreg::services

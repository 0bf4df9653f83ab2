#include "storage/keys.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

constexpr const char* kLater = "2026-11-30T10:00:00.000Z";

class KeyStoreTest : public EachDatabase {
 protected:
  // The nth key, each a millisecond after the one before.
  static StoredKey key(int nth) {
    const WallTime time{std::chrono::milliseconds{1'700'000'000'000 + nth}};
    std::string hash(64, 'a');
    hash.replace(0, 8, std::to_string(10'000'000 + nth));
    return {.id = new_uuid(time),
            .name = "key " + std::to_string(nth),
            .hash = hash,
            .prefix = "gbg_1234",
            .created_at = rfc3339(time)};
  }
  static StoredKey bounded(int nth) {
    StoredKey one = key(nth);
    one.roles_json = R"(["technical","größe"])";
    one.requests_per_minute = 60;
    one.tokens_per_minute = 1'000'000'000;
    one.tokens_per_day = 1'000'000'000'000'000;
    one.expires_at = kLater;
    one.is_admin = true;
    return one;
  }
  StoredKey only() {
    const auto all = store_.list().value();
    EXPECT_EQ(all.size(), 1U);
    return all.front();
  }

  TestFolder folder_;
  Disk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
  KeyStore& store_ = stores_.keys;
};

TEST_P(KeyStoreTest, GivesBackWhatItWasGiven) {
  const StoredKey plain = key(1), strict = bounded(2);
  ASSERT_TRUE(store_.insert(strict));
  ASSERT_TRUE(store_.insert(plain));
  EXPECT_EQ(store_.list().value(), (std::vector{plain, strict})) << "the oldest first";
}

TEST_P(KeyStoreTest, TwoKeysNeverHaveOneHash) {
  StoredKey other = key(2);
  other.hash = key(1).hash;
  ASSERT_TRUE(store_.insert(key(1)));
  EXPECT_FALSE(store_.insert(other));
  EXPECT_EQ(store_.list()->size(), 1U);
}

TEST_P(KeyStoreTest, ARevokedKeyStaysAndKeepsItsTime) {
  const StoredKey one = key(1);
  ASSERT_TRUE(store_.insert(one));
  EXPECT_EQ(store_.revoke(one.id, kLater)->revoked_at, kLater);
  EXPECT_EQ(store_.revoke(one.id, "2027-01-01T00:00:00.000Z")->revoked_at, kLater);
  EXPECT_EQ(only().revoked_at, kLater);
  EXPECT_EQ(store_.revoke("nobody's", kLater).error().code, "key_not_found");
}

TEST_P(KeyStoreTest, ItsStateIsAnotherAfterEachChangeAndOnlyThen) {
  std::vector<std::string> states{store_.state().value()};
  const StoredKey one = key(1), other = key(2);
  ASSERT_TRUE(store_.insert(one));
  states.push_back(store_.state().value());
  ASSERT_TRUE(store_.insert(other));
  states.push_back(store_.state().value());
  ASSERT_TRUE(store_.revoke(one.id, kLater));
  states.push_back(store_.state().value());
  ASSERT_TRUE(store_.revoke(other.id, kLater));  // At the same time as the one before.
  states.push_back(store_.state().value());
  for (std::size_t i = 1; i < states.size(); ++i) EXPECT_NE(states[i - 1], states[i]) << i;
  const KeyStore::Added used[] = {
      {.usage = {.key_id = one.id, .day = "2026-11-30", .requests_full_at = kLater, .tokens_full_at = kLater},
       .used_at = kLater}};
  ASSERT_TRUE(store_.add_usage(used));
  EXPECT_EQ(store_.state().value(), states.back());
}

TEST_P(KeyStoreTest, AddsUpADayAndTellsTheNewestOne) {
  const StoredKey one = key(1), other = key(2);
  ASSERT_TRUE(store_.insert(one));
  ASSERT_TRUE(store_.insert(other));
  const auto used = [](const StoredKey& key, const char* day, std::int64_t requests, std::int64_t tokens) {
    return StoredUsage{.key_id = key.id,
                       .day = day,
                       .requests = requests,
                       .tokens = tokens,
                       .requests_full_at = std::string(day) + "T23:00:00.000Z",
                       .tokens_full_at = std::string(day) + "T23:30:00.000Z"};
  };
  const KeyStore::Added first[] = {{.usage = used(one, "2026-11-29", 1, 10)},
                                   {.usage = used(one, "2026-11-30", 2, 3'000'000'000)},
                                   {.usage = used(other, "2026-11-29", 4, 40), .used_at = kLater}};
  ASSERT_TRUE(store_.add_usage(first));
  StoredUsage more = used(one, "2026-11-30", 3, -500);  // Less than was reserved.
  more.requests_full_at = "2026-12-01T00:00:00.000Z";
  const KeyStore::Added second[] = {{.usage = more}};
  ASSERT_TRUE(store_.add_usage(second));

  auto newest = store_.newest_usage().value();
  std::ranges::sort(newest, {}, &StoredUsage::key_id);
  StoredUsage sum = more;
  sum.requests = 5;
  sum.tokens = 2'999'999'500;
  EXPECT_EQ(newest, (std::vector{sum, used(other, "2026-11-29", 4, 40)}));
  EXPECT_EQ(store_.list()->at(0).last_used_at, std::nullopt);
  EXPECT_EQ(store_.list()->at(1).last_used_at, kLater);

  ASSERT_TRUE(store_.forget_usage_before("2026-11-30"));
  EXPECT_EQ(store_.newest_usage().value(), std::vector{sum});
}

TEST_P(KeyStoreTest, HoldsSoManyAndNoMore) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store_.insert(key(i)));
  ASSERT_TRUE(stores_.database->with_connection([](soci::session& session) -> Result<void> {
    session << "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) INSERT INTO gbgreg_keys "
               "(id, name, hash, prefix, is_admin, created_at) SELECT 'x' || i, 'n', 'h' || i, 'p', 0, 'c' FROM n";
    return {};
  }));
  EXPECT_EQ(store_.insert(key(10'000)).error().code, "keys_too_many");
  EXPECT_EQ(store_.list()->size(), 10'000U);
}

GBGREG_ON_EACH_DATABASE(KeyStoreTest);

}  // namespace
}  // namespace gbgreg::storage

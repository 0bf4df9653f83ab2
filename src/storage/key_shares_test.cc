#include "storage/key_shares.h"

#include <gtest/gtest.h>

#include <thread>

#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

using keys::Amounts;
using keys::Asking;
using Sharing = KeyShares::Sharing;
using namespace std::chrono_literals;

constexpr const char* kDay = "2026-11-30";

class KeySharesTest : public EachDatabase {
 protected:
  void SetUp() override { ASSERT_TRUE(stores_.keys.insert(row_of("k"))); }

  static StoredKey row_of(const std::string& id) {
    return {.id = id,
            .name = id,
            .hash = std::string(64, 'a'),
            .prefix = "gbg_",
            .requests_per_minute = 10,
            .tokens_per_minute = 100,
            .tokens_per_day = 1000,
            .created_at = "2026-11-30T00:00:00.000Z"};
  }
  static KeyShares::Told told(const Asking& asking, std::int64_t tokens = 0) {
    return {.used = {.usage = {.key_id = "k",
                               .day = kDay,
                               .requests = 1,
                               .tokens = tokens,
                               .requests_full_at = "2026-11-30T12:00:00.000Z",
                               .tokens_full_at = "2026-11-30T12:00:00.000Z"}},
            .limits = kLimits,
            .asking = asking};
  }
  keys::Leased meet(const KeyShares::Gateway& gateway, const Asking& asking, std::int64_t tokens = 0) {
    const KeyShares::Told one = told(asking, tokens);
    const auto met = stores_.key_shares.meet(gateway, Sharing::yes, std::span(&one, 1));
    EXPECT_TRUE(met) << met.error().detail;
    return met && met->leased.size() == 1 ? met->leased.front() : keys::Leased{};
  }
  int others(const KeyShares::Gateway& gateway, Sharing sharing) {
    const auto met = stores_.key_shares.meet(gateway, sharing, {});
    EXPECT_TRUE(met) << met.error().detail;
    return met ? met->others : -1;
  }
  // Both are there and share.
  void both_share() {
    ASSERT_TRUE(stores_.key_shares.enter(kOne));
    ASSERT_TRUE(stores_.key_shares.enter(kTwo));
    ASSERT_EQ(others(kOne, Sharing::yes), 1);
  }
  void sql(const char* statement) {
    ASSERT_TRUE(stores_.database->in_transaction([&](soci::session& session) -> Result<void> {
      session << statement;
      return {};
    }));
  }
  int count(const char* table) {
    int rows = 0;
    EXPECT_TRUE(stores_.database->with_connection([&](soci::session& session) -> Result<void> {
      session << "SELECT count(*) FROM " << table, soci::into(rows);
      return {};
    }));
    return rows;
  }
  std::int64_t tokens_of_the_day() { return stores_.keys.newest_usage()->front().tokens; }

  static constexpr keys::Limits kLimits{.requests_per_minute = 10, .tokens_per_minute = 100, .tokens_per_day = 1000};
  const KeyShares::Gateway kOne{.id = "one", .run = "1"}, kTwo{.id = "two", .run = "2"};
  TestFolder folder_;
  Disk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
};

TEST_P(KeySharesTest, GatewaysFindEachOther) {
  EXPECT_EQ(stores_.key_shares.enter(kOne)->others, 0);
  EXPECT_EQ(others(kOne, Sharing::no), 0);
  EXPECT_EQ(stores_.key_shares.enter(kTwo)->others, 1);
  EXPECT_EQ(others(kOne, Sharing::no), 1);
  ASSERT_TRUE(stores_.key_shares.leave(kTwo));
  EXPECT_EQ(others(kOne, Sharing::no), 0);
  EXPECT_EQ(stores_.key_shares.enter(kOne)->others, 0) << "after a restart it is the same";
}

TEST_P(KeySharesTest, NothingIsLeasedAsLongAsOneCountsByItself) {
  ASSERT_TRUE(stores_.key_shares.enter(kOne));
  ASSERT_TRUE(stores_.key_shares.enter(kTwo));
  const auto early = meet(kTwo, {.requests_needed = 1});
  EXPECT_EQ(early.lease, Amounts{});
  EXPECT_TRUE(early.lacks_requests && early.elsewhere.requests > 0) << "it may come yet";
  // The first has taken 8 of 10, and says so when it begins to share.
  KeyShares::Told begins = told({});
  begins.requests_until_full = 48s;
  ASSERT_TRUE(stores_.key_shares.meet(kOne, Sharing::yes, std::span(&begins, 1)));
  EXPECT_EQ(meet(kTwo, {.requests_needed = 5}).lease.requests, 2);
  // It says so once, and not when it comes again.
  const auto again = stores_.key_shares.meet(kOne, Sharing::yes, std::span(&begins, 1));
  ASSERT_TRUE(again);
  EXPECT_LE(again->leased.front().requests_until_full, 60s);
}

TEST_P(KeySharesTest, WhatOneHoldsTheOtherDoesNotGet) {
  both_share();
  const auto one = meet(kOne, {.requests_needed = 6, .tokens_needed = 60, .tokens_least = 60});
  EXPECT_GE(one.lease.requests, 6);
  EXPECT_EQ(one.lease.tokens, one.lease.tokens_today);
  const auto two = meet(kTwo, {.requests_needed = 10, .tokens_needed = 100, .tokens_least = 1});
  EXPECT_EQ(one.lease.requests + two.lease.requests, 10);
  EXPECT_EQ(one.lease.tokens + two.lease.tokens, 100);
  EXPECT_TRUE(two.lacks_requests && two.lacks_tokens);
  EXPECT_TRUE(meet(kOne, {.kept = one.lease}).is_wanted);
  meet(kOne, {.returned = one.lease}, 5);
  const auto rest = meet(kTwo, {.kept = two.lease, .requests_needed = 10, .tokens_needed = 100, .tokens_least = 1});
  EXPECT_EQ(rest.lease.requests, 10);
  EXPECT_EQ(rest.lease.tokens, 100);
  EXPECT_EQ(rest.tokens_today, 5);
  EXPECT_EQ(rest.requests_today, 5) << "each of the meetings has told of one";
}

TEST_P(KeySharesTest, ManyAtOnceGetTheLimitAndNoMore) {
  both_share();
  constexpr int kThreads = 4, kMeetings = 25;
  std::array<Amounts, kThreads> leased{};
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i, &held = leased[static_cast<std::size_t>(i)]] {
      const KeyShares::Gateway gateway{.id = "many " + std::to_string(i), .run = "r"};
      for (int meeting = 0; meeting < kMeetings; ++meeting) {
        // Even ones give back now and then.
        const bool keeps = i % 2 == 1 || meeting % 5 != 0;
        const Asking asking{.kept = keeps ? held : Amounts{},
                            .returned = keeps ? Amounts{} : held,
                            .requests_needed = 1,
                            .tokens_needed = 7,
                            .tokens_least = 7};
        held = meet(gateway, asking).lease;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Who gave back late may have taken less again: what is left is still to be had, and no more than that.
  const KeyShares::Gateway last{.id = "last", .run = "r"};
  Amounts sum = meet(last, {.requests_needed = 10, .tokens_needed = 100, .tokens_least = 1}).lease;
  for (const Amounts& held : leased) {
    sum.requests += held.requests;
    sum.tokens += held.tokens;
    sum.tokens_today += held.tokens_today;
  }
  EXPECT_EQ(sum.requests, 10);
  EXPECT_EQ(sum.tokens, 100);
  EXPECT_EQ(sum.tokens_today, sum.tokens);
}

TEST_P(KeySharesTest, WhatAKilledGatewayHeldCountsAsUsedWhenItIsBack) {
  both_share();
  const auto held = meet(kTwo, {.requests_needed = 3, .tokens_needed = 50, .tokens_least = 50}, 7);
  ASSERT_GE(held.lease.tokens_today, 50);
  EXPECT_EQ(stores_.key_shares.enter({.id = "two", .run = "another"})->others, 1);
  EXPECT_EQ(tokens_of_the_day(), 7 + held.lease.tokens_today);
  EXPECT_EQ(count("gbgreg_key_leases"), 0);
  const auto one = meet(kOne, {.requests_needed = 10, .tokens_needed = 100, .tokens_least = 1});
  EXPECT_EQ(one.lease.requests, 10 - held.lease.requests);
}

TEST_P(KeySharesTest, OneThatIsGoneIsBuriedByTheOthers) {
  both_share();
  const auto held = meet(kTwo, {.tokens_needed = 50, .tokens_least = 50}, 7);
  EXPECT_EQ(others(kOne, Sharing::yes), 1);
  sql("UPDATE gbgreg_gateways SET seen_at = 0 WHERE id = 'two'");
  EXPECT_EQ(others(kOne, Sharing::yes), 0);
  EXPECT_EQ(tokens_of_the_day(), 7 + held.lease.tokens_today);
  EXPECT_EQ(count("gbgreg_key_leases"), 0);
}

TEST_P(KeySharesTest, TheLastOneTakesAllThatIsLeft) {
  both_share();
  meet(kOne, {.requests_needed = 4});
  ASSERT_TRUE(stores_.key_shares.leave(kTwo));
  const KeyShares::Told last = told({});
  const auto met = stores_.key_shares.meet(kOne, Sharing::ended, std::span(&last, 1));
  ASSERT_TRUE(met);
  EXPECT_EQ(met->others, 0);
  EXPECT_GT(met->leased.front().requests_until_full, 20s);
  EXPECT_EQ(count("gbgreg_key_shares"), 0);
  EXPECT_EQ(stores_.key_shares.enter(kTwo)->others, 1);
  EXPECT_TRUE(meet(kTwo, {.requests_needed = 1}).lacks_requests) << "the first counts by itself again";
}

TEST_P(KeySharesTest, WhatAllLeftBehindIsFoundByTheFirstThatComesBack) {
  both_share();
  meet(kOne, {.requests_needed = 10});
  sql("UPDATE gbgreg_gateways SET seen_at = 0");
  const auto entered = stores_.key_shares.enter(kTwo);
  ASSERT_TRUE(entered);
  EXPECT_EQ(entered->others, 0);
  ASSERT_EQ(entered->left.size(), 1U);
  EXPECT_EQ(entered->left.front().key_id, "k");
  EXPECT_GT(entered->left.front().requests_until_full, 30s);
  EXPECT_EQ(count("gbgreg_key_shares"), 0);
}

TEST_P(KeySharesTest, TwoThatGoByTheSameIdAreFoundOut) {
  ASSERT_TRUE(stores_.key_shares.enter(kOne));
  ASSERT_TRUE(stores_.key_shares.enter({.id = "one", .run = "copy"}));
  EXPECT_EQ(stores_.key_shares.meet(kOne, Sharing::no, {}).error().code, "gateway_twice");
  ASSERT_TRUE(stores_.key_shares.leave(kOne));
  EXPECT_EQ(count("gbgreg_gateways"), 1) << "the other one is still there";
}

GBGREG_ON_EACH_DATABASE(KeySharesTest);

}  // namespace
}  // namespace gbgreg::storage

#include "services/keys.h"

#include <gtest/gtest.h>

#include <optional>

#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using namespace std::chrono_literals;
using keys::Answer;

// Noon of a day, until a test moves it.
struct HandClock final : Clock {
  SteadyTime steady() const override { return SteadyTime{1h} + passed; }
  WallTime wall() const override { return WallTime{std::chrono::days{20'000} + 12h} + passed; }
  std::chrono::milliseconds passed{0};
};

constexpr keys::Rights kAdmin{.roles = {}, .limits = {}, .expires_at = {}, .is_admin = true};

class KeysTest : public testing::Test {
 protected:
  void TearDown() override { pool_.join(); }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    IoContext context;
    spawn(context.get_executor(), "test", into(std::move(task), value));
    context.run();
    return std::move(*value);
  }
  std::string made(const WantedKey& wanted) {
    auto key = run(keys_.create(kAdmin, wanted));
    EXPECT_TRUE(key) << key.error().message;
    return key ? key->secret : "";
  }
  Answer answer(const std::string& secret) { return keys::look_up(keys_.table(0), secret, clock_.wall()).answer; }
  std::shared_ptr<keys::Account> account(Keys& keys, const std::string& secret) {
    return keys::look_up(keys.table(0), secret, clock_.wall()).key->account;
  }
  void sql(const char* statement) {
    ASSERT_TRUE(stores_.database->with_connection([&](soci::session& session) -> Result<void> {
      session << statement;
      return {};
    }));
  }

  HandClock clock_;
  storage::TestFolder folder_;
  storage::Disk disk_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  asio::thread_pool pool_{1};
  Keys keys_{pool_, stores_.keys, clock_, 1};

 private:
  template <class T>
  static Task<void> into(Task<T> task, std::optional<T>& value) {
    value = co_await std::move(task);
  }
};

TEST_F(KeysTest, AKeyCountsFromWhenItIsMadeUntilItIsRevoked) {
  ASSERT_TRUE(keys_.load());
  const auto key = run(keys_.create(kAdmin, {.name = "ada"}));
  ASSERT_TRUE(key);
  EXPECT_EQ(answer(key->secret), Answer::good);
  EXPECT_TRUE(keys_.has_active());
  const auto revoked = run(keys_.revoke(key->key.id));
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->revoked_at, clock_.wall());
  EXPECT_EQ(answer(key->secret), Answer::revoked);
  EXPECT_FALSE(keys_.has_active());
  EXPECT_EQ(run(keys_.revoke("nobody's")).error().code, "key_not_found");
}

TEST_F(KeysTest, ASecretIsNowhereInTheDatabase) {
  ASSERT_TRUE(keys_.load());
  const std::string secret = made({.name = "ada"});
  for (const auto& row : stores_.keys.list().value()) {
    for (const std::string& text : {row.id, row.name, row.hash, row.prefix}) {
      EXPECT_EQ(text.find(secret.substr(keys::kShownCharacters)), std::string::npos) << text;
    }
  }
}

TEST_F(KeysTest, WhatOthersWriteIsNoticed) {
  ASSERT_TRUE(keys_.load());
  const auto key = make_key({.name = "by hand"}, clock_.wall());
  ASSERT_TRUE(stores_.keys.insert(key->row));
  EXPECT_EQ(answer(key->secret), Answer::unknown);
  ASSERT_TRUE(keys_.look());
  EXPECT_EQ(answer(key->secret), Answer::good);
  ASSERT_TRUE(stores_.keys.revoke(key->row.id, rfc3339(clock_.wall())));
  ASSERT_TRUE(keys_.look());
  EXPECT_EQ(answer(key->secret), Answer::revoked);
}

TEST_F(KeysTest, LooksOnThePoolToo) {
  ASSERT_TRUE(keys_.load());
  const auto key = make_key({.name = "by hand"}, clock_.wall());
  ASSERT_TRUE(stores_.keys.insert(key->row));
  keys_.look_soon();
  pool_.join();
  EXPECT_EQ(answer(key->secret), Answer::good);
}

TEST_F(KeysTest, AnAccountOutlivesTheTables) {
  ASSERT_TRUE(keys_.load());
  const std::string secret = made({.name = "ada", .rights = {.limits = {.requests_per_minute = 1}}});
  EXPECT_FALSE(account(keys_, secret)->admit(keys::now_by(clock_)));
  made({.name = "another"});
  EXPECT_TRUE(account(keys_, secret)->admit(keys::now_by(clock_)));
}

TEST_F(KeysTest, LimitsGoOnAfterARestart) {
  ASSERT_TRUE(keys_.load());
  const std::string secret =
      made({.name = "ada", .rights = {.limits = {.requests_per_minute = 60, .tokens_per_day = 100}}});
  keys::Reserved reserved;
  for (int i = 0; i < 60; ++i) ASSERT_FALSE(account(keys_, secret)->admit(keys::now_by(clock_)));
  ASSERT_FALSE(account(keys_, secret)->reserve(70, keys::now_by(clock_), reserved));
  ASSERT_TRUE(keys_.look());
  account(keys_, secret)->settle(reserved, 40, keys::now_by(clock_));
  ASSERT_TRUE(keys_.look());
  ASSERT_TRUE(keys_.look());

  clock_.passed += 10s;
  Keys again(pool_, stores_.keys, clock_, 1);
  ASSERT_TRUE(again.load());
  const auto standing = account(again, secret)->standing(keys::now_by(clock_));
  EXPECT_EQ(standing.requests->left, 10);
  EXPECT_EQ(standing.tokens->left, 60);
  // What it goes on from is not written a second time.
  ASSERT_FALSE(account(again, secret)->admit(keys::now_by(clock_)));
  ASSERT_TRUE(again.look());
  const auto usage = stores_.keys.newest_usage().value();
  ASSERT_EQ(usage.size(), 1U);
  EXPECT_EQ(usage[0].requests, 61);
  EXPECT_EQ(usage[0].tokens, 40);
  EXPECT_EQ(stores_.keys.list()->at(0).last_used_at, rfc3339(clock_.wall()));
  const auto listed = run(again.list()).value();
  EXPECT_EQ(listed.at(0).requests_today, 61);
  EXPECT_EQ(listed.at(0).tokens_today, 40);
}

TEST_F(KeysTest, EachDayHasARow) {
  ASSERT_TRUE(keys_.load());
  const std::string secret = made({.name = "ada"});
  for (int day = 0; day < 2; ++day) {
    for (int i = 0; i <= day; ++i) ASSERT_FALSE(account(keys_, secret)->admit(keys::now_by(clock_)));
    ASSERT_TRUE(keys_.look());
    clock_.passed += 24h;
  }
  auto newest = stores_.keys.newest_usage().value();
  EXPECT_EQ(newest.at(0).requests, 2);
  ASSERT_TRUE(stores_.keys.forget_usage_before(newest.at(0).day));
  EXPECT_EQ(stores_.keys.newest_usage().value(), newest);
}

TEST_F(KeysTest, ADatabaseThatIsAwayCostsNoRequestAndNoFigure) {
  ASSERT_TRUE(keys_.load());
  const std::string secret = made({.name = "ada"});
  sql("ALTER TABLE gbgreg_keys RENAME TO gone");
  sql("ALTER TABLE gbgreg_key_usage RENAME TO gone_too");
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(account(keys_, secret)->admit(keys::now_by(clock_)));
    EXPECT_FALSE(keys_.look());
  }
  EXPECT_EQ(answer(secret), Answer::good);
  EXPECT_FALSE(run(keys_.list()));
  EXPECT_FALSE(run(keys_.create(kAdmin, {.name = "x"})));
  sql("ALTER TABLE gone RENAME TO gbgreg_keys");
  sql("ALTER TABLE gone_too RENAME TO gbgreg_key_usage");
  ASSERT_TRUE(keys_.look());
  EXPECT_EQ(stores_.keys.newest_usage()->at(0).requests, 3);
}

TEST_F(KeysTest, OldDaysGoAtTheStart) {
  ASSERT_TRUE(keys_.load());
  const std::string secret = made({.name = "ada"});
  ASSERT_FALSE(account(keys_, secret)->admit(keys::now_by(clock_)));
  ASSERT_TRUE(keys_.look());
  clock_.passed += Keys::kUsageKept + 24h;
  Keys again(pool_, stores_.keys, clock_, 1);
  ASSERT_TRUE(again.load());
  EXPECT_TRUE(stores_.keys.newest_usage()->empty());
}

TEST_F(KeysTest, AreRequiredAsConfiguredAndByWhatThereIs) {
  struct Case {
    keys::Required required;
    Reach reach;
    bool without_keys;
    bool with_one;
  };
  using enum keys::Required;
  const Case cases[] = {{automatic, Reach::this_machine, false, true},     {automatic, Reach::others, true, true},
                        {automatic, Reach::others_by_choice, false, true}, {always, Reach::this_machine, true, true},
                        {never, Reach::this_machine, false, false},        {never, Reach::others, false, false}};
  ASSERT_TRUE(keys_.load());
  const auto check = [&](auto expected) {
    for (const Case& c : cases) {
      keys_.adopt({.required = c.required});
      keys_.set_reach(c.reach);
      EXPECT_EQ(keys_.are_required(), c.*expected) << &c - cases;
    }
  };
  check(&Case::without_keys);
  const auto key = run(keys_.create(kAdmin, {.name = "ada", .rights = {.expires_at = clock_.wall() + 1h}}));
  check(&Case::with_one);
  clock_.passed += 2h;
  EXPECT_FALSE(keys_.has_active());
  check(&Case::with_one);  // What was locked does not open by itself.
  ASSERT_TRUE(run(keys_.revoke(key->key.id)));
  check(&Case::with_one);
}

TEST_F(KeysTest, ARowThatSomebodyElseWroteOpensNothing) {
  ASSERT_TRUE(keys_.load());
  const std::string secret = made({.name = "ada"});
  sql("UPDATE gbgreg_keys SET roles = 'all', name = 'other'");
  Keys again(pool_, stores_.keys, clock_, 1);
  ASSERT_TRUE(again.load());
  EXPECT_EQ(keys::look_up(again.table(0), secret, clock_.wall()).answer, Answer::unknown);
  EXPECT_TRUE(again.are_required());
}

TEST_F(KeysTest, NoKeyMakesAStrongerOne) {
  ASSERT_TRUE(keys_.load());
  const keys::Rights maker{.limits = {.tokens_per_day = 100}, .is_admin = true};
  EXPECT_EQ(run(keys_.create(maker, {.name = "x"})).error().code, "key_too_strong");
  EXPECT_TRUE(run(keys_.create(maker, {.name = "x", .rights = maker})));
  EXPECT_EQ(run(keys_.create(kAdmin, {.name = ""})).error().code, "key_invalid");
}

}  // namespace
}  // namespace gbgreg::services

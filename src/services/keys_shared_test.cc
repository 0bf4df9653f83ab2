// Two gateways on one database, which here is one of SQLite's: the rows are the same on both.
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "services/keys.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using namespace std::chrono_literals;

// Noon of a day, until a test moves it.
struct HandClock final : Clock {
  SteadyTime steady() const override { return SteadyTime{1h} + passed; }
  WallTime wall() const override { return WallTime{std::chrono::days{20'000} + 12h} + passed; }
  std::chrono::milliseconds passed{0};
};

class SharedKeysTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto made = make_key({.name = "ada", .rights = {.limits = {.tokens_per_day = 1000}}}, clock_.wall());
    ASSERT_TRUE(stores_.keys.insert(made->row));
    secret_ = made->secret;
  }
  void TearDown() override { pool_.join(); }

  Keys::Together together(const char* id) { return {.shares = stores_.key_shares, .id = id}; }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    IoContext context;
    spawn(context.get_executor(), "test", into(std::move(task), value));
    context.run();
    return std::move(*value);
  }
  std::shared_ptr<keys::Account> account(Keys& keys) {
    return keys::look_up(keys.table(0), secret_, clock_.wall()).key->account;
  }
  // As a request does.
  bool reserves(Keys& keys, std::int64_t tokens) {
    const auto account = this->account(keys);
    keys::Reserved into;
    Keys::Attempt attempt = [&] { return account->reserve(tokens, keys::now_by(clock_), into); };
    auto refused = attempt();
    if (refused && refused->may_be_got) refused = run(keys.with_more(*refused, attempt));
    return !refused;
  }
  // Both are there and share.
  void both_share() {
    ASSERT_TRUE(one_.load());
    ASSERT_TRUE(two_.load());
    ASSERT_TRUE(one_.look());
    ASSERT_TRUE(one_.is_sharing() && two_.is_sharing());
  }
  void sql(const char* statement) {
    ASSERT_TRUE(stores_.database->with_connection([&](soci::session& session) -> Result<void> {
      session << statement;
      return {};
    }));
  }
  std::int64_t written() { return stores_.keys.newest_usage()->front().tokens; }

  HandClock clock_;
  storage::TestFolder folder_;
  storage::Disk disk_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  asio::thread_pool pool_{2};
  Keys one_{pool_, stores_.keys, clock_, 1, {}, together("one")};
  Keys two_{pool_, stores_.keys, clock_, 1, {}, together("two")};
  std::string secret_;

 private:
  template <class T>
  static Task<void> into(Task<T> task, std::optional<T>& value) {
    value = co_await std::move(task);
  }
};

TEST_F(SharedKeysTest, OneThatIsAloneAsksNobody) {
  ASSERT_TRUE(one_.load());
  ASSERT_TRUE(one_.look());
  EXPECT_FALSE(one_.is_sharing());
  sql("ALTER TABLE gbgreg_gateways RENAME TO gone");
  EXPECT_TRUE(reserves(one_, 1000));
  EXPECT_FALSE(reserves(one_, 1));
  EXPECT_FALSE(one_.look());
  sql("ALTER TABLE gone RENAME TO gbgreg_gateways");
  ASSERT_TRUE(one_.look());
  EXPECT_EQ(written(), 1000);
}

TEST_F(SharedKeysTest, WhatOneHasTakenBeforeTheOtherDoesNotGet) {
  ASSERT_TRUE(one_.load());
  ASSERT_TRUE(reserves(one_, 700));
  ASSERT_TRUE(two_.load());
  EXPECT_TRUE(two_.is_sharing());
  // The second waits until the first, which counts by itself still, has said what is left.
  std::thread first([this] { EXPECT_TRUE(one_.look()); });
  EXPECT_TRUE(reserves(two_, 300));
  first.join();
  EXPECT_FALSE(reserves(two_, 1));
  EXPECT_FALSE(reserves(one_, 1));
  ASSERT_TRUE(two_.look());
  ASSERT_TRUE(one_.look());
  EXPECT_EQ(written(), 1000);
}

TEST_F(SharedKeysTest, BothTogetherAreGivenExactlyTheLimit) {
  both_share();
  std::int64_t taken = 0;
  for (int i = 0; i < 2000; ++i) {
    clock_.passed += 5ms;
    Keys& keys = i % 3 == 0 ? one_ : two_;
    if (i % 50 == 0) ASSERT_TRUE((i % 100 == 0 ? one_ : two_).look());
    // What others hold is waited for; a test does not, and looks for it itself.
    keys::Reserved into;
    const auto refused = account(keys)->reserve(1, keys::now_by(clock_), into);
    if (refused) ASSERT_TRUE(keys.look());
    taken += refused ? 0 : 1;
  }
  EXPECT_EQ(taken, 1000);
  ASSERT_TRUE(one_.look());
  ASSERT_TRUE(two_.look());
  EXPECT_EQ(written(), 1000);
}

TEST_F(SharedKeysTest, WithoutTheDatabaseNobodyWaitsAndAllIsCountedLater) {
  both_share();
  ASSERT_TRUE(reserves(one_, 100));
  ASSERT_TRUE(reserves(two_, 100));
  sql("ALTER TABLE gbgreg_gateways RENAME TO gone");
  EXPECT_FALSE(one_.look());
  EXPECT_FALSE(two_.look());
  std::int64_t taken = 200;
  for (Keys* keys : {&one_, &two_}) {
    while (reserves(*keys, 10)) taken += 10;
  }
  EXPECT_GE(taken, 700) << "each has its part of what was left when it last heard";
  EXPECT_LE(taken, 1500);
  sql("ALTER TABLE gone RENAME TO gbgreg_gateways");
  ASSERT_TRUE(one_.look());
  ASSERT_TRUE(two_.look());
  EXPECT_EQ(written(), taken);
}

TEST_F(SharedKeysTest, WhatIsHeldIsGivenUpBeforeTheOthersTakeItBack) {
  both_share();
  ASSERT_TRUE(reserves(one_, 100));
  clock_.passed += Keys::kHeldFor + 1ms;
  sql("ALTER TABLE gbgreg_gateways RENAME TO gone");
  one_.look_soon();
  keys::Reserved into;
  std::int64_t taken = 0;
  const auto account = this->account(one_);
  while (!account->reserve(1, keys::now_by(clock_), into)) ++taken;
  EXPECT_GT(taken, 0);
  EXPECT_LE(taken, 450) << "half of what was left in the database, and nothing of what it held";
}

TEST_F(SharedKeysTest, TheLastOneCountsByItselfAgain) {
  both_share();
  ASSERT_TRUE(reserves(one_, 100));
  ASSERT_TRUE(reserves(two_, 200));
  ASSERT_TRUE(two_.leave());
  ASSERT_TRUE(one_.look());
  EXPECT_FALSE(one_.is_sharing());
  sql("ALTER TABLE gbgreg_gateways RENAME TO gone");
  EXPECT_TRUE(reserves(one_, 700));
  EXPECT_FALSE(reserves(one_, 1));
}

TEST_F(SharedKeysTest, ListsWhatAllHaveUsed) {
  both_share();
  ASSERT_TRUE(reserves(one_, 100));
  ASSERT_TRUE(reserves(two_, 200));
  for (Keys* keys : {&one_, &two_, &one_}) ASSERT_TRUE(keys->look());
  EXPECT_EQ(run(one_.list())->front().tokens_today, 300);
}

TEST_F(SharedKeysTest, OneWhoseIdAnotherHasTakesANewOne) {
  ASSERT_TRUE(one_.load());
  Keys copy{pool_, stores_.keys, clock_, 1, {}, together("one")};
  ASSERT_TRUE(copy.load());
  EXPECT_EQ(one_.look().error().code, "gateway_twice");
  ASSERT_TRUE(one_.look());
  EXPECT_TRUE(one_.is_sharing());
}

}  // namespace
}  // namespace gbgreg::services

// Several gateways that share the limits of a key admit together what one would: by a clock that the test moves, in one
// thread where the order matters, and in many where it may not.
#include "keys/share.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "keys/account.h"

namespace gbgreg::keys {
namespace {

using namespace std::chrono_literals;
using Micros = Bucket::Micros;
using Keep = Account::Keep;

// Noon of a day, by both clocks.
const Moment kNoon{.steady = SteadyTime{1'000h}, .wall = WallTime{std::chrono::days{20'000} + 12h}};

Moment after(Moment moment, std::chrono::nanoseconds passed) {
  return {.steady = moment.steady + std::chrono::duration_cast<SteadyTime::duration>(passed),
          .wall = moment.wall + std::chrono::duration_cast<WallTime::duration>(passed)};
}

// What the database does of it, for one key and one day.
class Table {
 public:
  Table(const Limits& limits, int gateways) : limits_(limits), leases_(static_cast<std::size_t>(gateways)) {}

  struct Told {
    Usage usage;
    Usage before;
  };
  Leased meet(std::size_t gateway, const Asking& asking, std::int64_t more_today, Moment now) {
    const std::scoped_lock lock(mutex_);
    used_today_ += more_today;
    Shared shared{.requests_until_full = until(requests_full_at_, now),
                  .tokens_until_full = until(tokens_full_at_, now),
                  .used_today = used_today_,
                  .own = leases_[gateway],
                  .gateways = static_cast<int>(leases_.size()),
                  .is_wanted = wanted_by_ && *wanted_by_ != gateway};
    for (std::size_t i = 0; i < leases_.size(); ++i) {
      if (i == gateway) continue;
      shared.others.requests += leases_[i].requests;
      shared.others.tokens += leases_[i].tokens;
      shared.others.tokens_today += leases_[i].tokens_today;
    }
    Leased leased = share_out(limits_, shared, asking);
    leased.tokens_today = used_today_;
    requests_full_at_ = now.steady + leased.requests_until_full;
    tokens_full_at_ = now.steady + leased.tokens_until_full;
    leases_[gateway] = leased.lease;
    if (leased.lacks_requests || leased.lacks_tokens) wanted_by_ = gateway;
    if (!leased.lacks_requests && !leased.lacks_tokens && wanted_by_ == gateway) wanted_by_.reset();
    return leased;
  }
  std::int64_t used_today() const { return used_today_; }

 private:
  static Micros until(SteadyTime full_at, Moment now) {
    return std::max(Micros{0}, std::chrono::ceil<Micros>(full_at - now.steady));
  }

  std::mutex mutex_;
  Limits limits_;
  std::vector<Amounts> leases_;
  std::optional<std::size_t> wanted_by_;
  SteadyTime requests_full_at_ = {}, tokens_full_at_ = {};
  std::int64_t used_today_ = 0;
};

// One gateway's account of the key, and how it goes to the table.
class Gateway {
 public:
  Gateway(const Limits& limits, Table& table, std::size_t number)
      : table_(table), number_(number), account_(limits, kNoon) {
    account_.begin_sharing(kNoon);
  }

  Account& account() { return account_; }

  void meet(Moment now, Keep keep = Keep::what_is_used) {
    const std::scoped_lock lock(mutex_);
    meet_once(now, is_wanted_ ? Keep::nothing : keep);
    if (is_wanted_) meet_once(now, Keep::nothing);
  }
  // As whoever waits for more does.
  bool admits(Moment now, int attempts = 1) {
    auto refused = account_.admit(now);
    for (int i = 0; refused && refused->may_be_got && i < attempts; ++i) {
      meet(now);
      refused = account_.admit(now);
    }
    return !refused;
  }
  bool reserves(std::int64_t tokens, Moment now, Reserved& into, int attempts = 1) {
    auto refused = account_.reserve(tokens, now, into);
    for (int i = 0; refused && refused->may_be_got && i < attempts; ++i) {
      meet(now);
      refused = account_.reserve(tokens, now, into);
    }
    return !refused;
  }
  bool reserves(std::int64_t tokens, Moment now) {
    Reserved into;
    return reserves(tokens, now, into);
  }

 private:
  void meet_once(Moment now, Keep keep) {
    const auto question = account_.ask(keep, now);
    const Leased leased = table_.meet(number_, question.asking, question.usage.tokens - written_, now);
    account_.take(leased, question, now);
    written_ = leased.tokens_today;
    is_wanted_ = leased.is_wanted && leased.lease != Amounts{};
  }

  Table& table_;
  std::size_t number_;
  Account account_;
  std::mutex mutex_;
  std::int64_t written_ = 0;
  bool is_wanted_ = false;
};

struct Two {
  explicit Two(const Limits& limits) : table(limits, 2), a(limits, table, 0), b(limits, table, 1) {}
  Table table;
  Gateway a, b;
};

TEST(Share, NobodyAsksForWhatItHolds) {
  Two two({.requests_per_minute = 100});
  ASSERT_TRUE(two.a.admits(kNoon));
  int admitted = 0;
  while (!two.a.account().admit(kNoon)) ++admitted;
  EXPECT_EQ(admitted, 24) << "half of an equal share of what was left";
}

TEST(Share, TwoAdmitTogetherWhatOneWould) {
  Two two({.requests_per_minute = 100});
  int admitted = 0;
  for (int i = 0; i < 300; ++i) {
    admitted += two.a.admits(kNoon) ? 1 : 0;
    admitted += two.b.admits(kNoon) ? 1 : 0;
    if (i % 7 == 0) two.a.meet(kNoon);
    if (i % 11 == 0) two.b.meet(kNoon);
  }
  EXPECT_EQ(admitted, 100);
}

TEST(Share, WhatOneHoldsGoesToTheOtherThatNeedsIt) {
  Two two({.requests_per_minute = 100});
  ASSERT_TRUE(two.a.admits(kNoon));  // Holds 24 more.
  int admitted = 0;
  while (two.b.admits(kNoon)) ++admitted;
  EXPECT_EQ(admitted, 75);
  const auto refused = two.b.account().admit(kNoon);
  EXPECT_TRUE(refused && refused->may_be_got) << "what another one holds may come back";
  two.a.meet(kNoon);  // It is told that it is wanted, and gives all of it.
  while (two.b.admits(kNoon)) ++admitted;
  EXPECT_EQ(admitted, 99);
  EXPECT_FALSE(two.a.admits(kNoon));
}

TEST(Share, WhatNobodyUsesIsGivenBack) {
  Two two({.requests_per_minute = 100, .tokens_per_minute = 1000, .tokens_per_day = 5000});
  ASSERT_TRUE(two.a.admits(kNoon));
  ASSERT_TRUE(two.a.reserves(100, kNoon));
  two.a.meet(kNoon);
  two.a.meet(kNoon);
  int admitted = 0;
  while (two.b.admits(kNoon)) ++admitted;
  EXPECT_EQ(admitted, 99);
  EXPECT_TRUE(two.b.reserves(900, kNoon));
}

TEST(Share, WhenNobodyHasAnythingTheRefusalIsKeptForAWhile) {
  Two two({.requests_per_minute = 2});
  ASSERT_TRUE(two.a.admits(kNoon) && two.a.admits(kNoon));
  ASSERT_FALSE(two.b.admits(kNoon));
  two.a.meet(kNoon);
  ASSERT_FALSE(two.b.admits(kNoon));
  const auto refused = two.b.account().admit(kNoon);
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->may_be_got);
  EXPECT_EQ(refused->wait, 30s);
  const Moment later = after(kNoon, Account::kRefusalKept);
  EXPECT_TRUE(two.b.account().admit(later)->may_be_got) << "others may have given back meanwhile";
  EXPECT_TRUE(two.b.admits(after(kNoon, 30s)));
}

// A round may come between the one that got it and those who wait for it.
TEST(Share, WhatWasGotForThoseWhoWaitIsNotGivenBackBeforeTheyCome) {
  Two two({.requests_per_minute = 10});
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(two.b.admits(kNoon));
  two.b.meet(kNoon, Keep::nothing);
  // Four come for three: one of them lacks, and nobody else has any.
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(two.a.account().admit(kNoon)->may_be_got);
  two.a.meet(kNoon);
  two.a.meet(kNoon);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(two.a.account().admit(kNoon)) << i;
  // And where it was given back all the same, it is asked for again.
  Two others({.requests_per_minute = 3});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(others.a.account().admit(kNoon)->may_be_got);
  others.a.meet(kNoon);
  others.a.meet(kNoon, Keep::nothing);
  EXPECT_TRUE(others.a.admits(kNoon));
}

TEST(Share, TokensThatComeBackAreUsedAgainAndAreNotMoreThanThereWere) {
  Two two({.tokens_per_minute = 1000});
  Reserved reserved;
  ASSERT_TRUE(two.a.reserves(1000, kNoon, reserved));
  two.a.meet(kNoon);
  const Moment later = after(kNoon, 1min);
  ASSERT_TRUE(two.b.reserves(1000, later)) << "the minute is over";
  two.b.meet(later);
  two.a.account().settle(reserved, 0, later);
  two.a.meet(later);
  std::int64_t got = 0;
  while (two.a.reserves(100, later)) got += 100;
  EXPECT_EQ(got, 1000) << "as a bucket that holds a minute's worth would";
  EXPECT_FALSE(two.b.reserves(1, later));
}

TEST(Share, ADebtIsPaidByAll) {
  Two two({.tokens_per_minute = 1000});
  Reserved reserved;
  ASSERT_TRUE(two.a.reserves(10, kNoon, reserved));
  two.a.account().settle(reserved, 3000, kNoon);
  two.a.meet(kNoon);
  EXPECT_FALSE(two.b.reserves(1, after(kNoon, 1min)));
  EXPECT_FALSE(two.b.reserves(1, after(kNoon, 119s)));
  EXPECT_TRUE(two.b.reserves(1, after(kNoon, 121s)));
}

TEST(Share, WhatIsTooMuchForOneMayStillBeRightForAnother) {
  Two two({.tokens_per_day = 1000});
  ASSERT_TRUE(two.a.reserves(700, kNoon));
  two.a.meet(kNoon, Keep::nothing);
  EXPECT_FALSE(two.b.reserves(400, kNoon));
  EXPECT_TRUE(two.b.reserves(300, kNoon)) << "the refusal of 400 says nothing of 300";
  const auto refused = two.b.account().reserve(1001, kNoon, *std::make_unique<Reserved>());
  EXPECT_TRUE(refused && refused->is_for_ever && !refused->may_be_got);
}

TEST(Share, ADayBeginsWithItsOwnBudgetForAll) {
  Two two({.tokens_per_day = 1000});
  ASSERT_TRUE(two.a.reserves(1000, kNoon));
  ASSERT_FALSE(two.b.reserves(1, kNoon));
  const Moment tomorrow = after(kNoon, 24h);
  EXPECT_FALSE(two.a.account().admit(tomorrow));
  EXPECT_EQ(two.a.account().usage(tomorrow).tokens, 0);
}

TEST(Share, WithoutTheDatabaseEachHasItsPartOfWhatWasLeft) {
  Two two({.requests_per_minute = 100, .tokens_per_day = 1000});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(two.a.admits(kNoon));
  ASSERT_TRUE(two.a.reserves(200, kNoon));
  ASSERT_TRUE(two.b.admits(kNoon));
  ASSERT_TRUE(two.b.reserves(1, kNoon));
  for (Gateway* gateway : {&two.a, &two.b}) gateway->account().cut_off(2, false, kNoon);
  int admitted = 21;
  std::int64_t tokens = 201;
  for (Gateway* gateway : {&two.a, &two.b}) {
    while (!gateway->account().admit(kNoon)) ++admitted;
    Reserved into;
    while (!gateway->account().reserve(1, kNoon, into)) ++tokens;
  }
  EXPECT_GE(admitted, 80);
  EXPECT_LE(admitted, 130) << "what was left when each last asked is older for one than for the other";
  EXPECT_LE(tokens, 1500);
  int more = 0;
  const Moment later = after(kNoon, 1min);
  while (!two.a.account().admit(later)) ++more;
  EXPECT_EQ(more, 50) << "its part of a minute's worth";
  // It comes back, and all has been counted.
  two.a.meet(later);
  two.b.meet(later);
  EXPECT_EQ(two.table.used_today(), tokens);
  EXPECT_FALSE(two.a.reserves(1'000 - 1, later));
}

TEST(Share, WhatLapsedIsNotUsed) {
  Two two({.requests_per_minute = 100});
  ASSERT_TRUE(two.a.admits(kNoon));
  two.a.account().cut_off(100, true, kNoon);
  int admitted = 0;
  while (!two.a.account().admit(kNoon)) ++admitted;
  EXPECT_EQ(admitted, 0) << "24 were held, and a hundredth of 75 is none";
}

// A gateway that is alone again has what is left, and counts by itself.
TEST(Share, EndsWithWhatIsLeft) {
  const Limits limits{.requests_per_minute = 100, .tokens_per_day = 1000};
  Two two(limits);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(two.a.admits(kNoon));
  ASSERT_TRUE(two.a.reserves(300, kNoon));
  two.a.meet(kNoon, Keep::nothing);
  const auto question = two.b.account().ask(Keep::nothing, kNoon);
  const Leased left = two.table.meet(1, question.asking, 0, kNoon);
  two.b.account().end_sharing(left, question.usage, kNoon);
  int admitted = 0;
  while (!two.b.account().admit(kNoon)) ++admitted;
  EXPECT_EQ(admitted, 70);
  Reserved into;
  EXPECT_TRUE(two.b.account().reserve(701, kNoon, into));
  EXPECT_FALSE(two.b.account().reserve(700, kNoon, into));
}

// By the definition: since any moment no more than a minute's worth, and what the time since then brings.
TEST(Share, NeverAdmitsMoreThanOneBucketWouldInHoursOfWhatever) {
  constexpr std::int64_t kPerMinute = 90;
  const Limits limits{.requests_per_minute = kPerMinute};
  constexpr std::size_t kGateways = 3;
  Table table(limits, kGateways);
  std::array<std::unique_ptr<Gateway>, kGateways> gateways;
  for (std::size_t i = 0; i < kGateways; ++i) gateways[i] = std::make_unique<Gateway>(limits, table, i);
  std::mt19937_64 random(20261130);
  Moment now = kNoon;
  std::int64_t admitted = 0, ideal = 0;
  // The bucket that all of them are to be must have what is admitted. The other one is asked the same, by itself.
  Bucket one(kPerMinute, kNoon.steady), other(kPerMinute, kNoon.steady);
  for (int i = 0; i < 200'000; ++i) {
    now = after(now, std::chrono::microseconds{random() % (i % 5'000 < 4'000 ? 400'000 : 4'000'000)});
    Gateway& gateway = *gateways[random() % kGateways];
    if (random() % 4 == 0) gateway.meet(now, random() % 8 == 0 ? Keep::nothing : Keep::what_is_used);
    if (gateway.admits(now)) {
      ++admitted;
      ASSERT_TRUE(one.has(1, now.steady)) << i;
      one.take(1, now.steady);
    }
    if (other.has(1, now.steady)) {
      ++ideal;
      other.take(1, now.steady);
    }
  }
  EXPECT_LT(ideal, 100'000) << "half of all are too many";
  EXPECT_GT(admitted, ideal * 98 / 100) << "what others hold is not always there at once";
}

TEST(Share, ManyThreadsOfTwoGatewaysAreGivenExactlyTheLimits) {
  const Limits limits{.requests_per_minute = 20'000, .tokens_per_minute = 1'000'000, .tokens_per_day = 300'000};
  Two two(limits);
  constexpr int kThreads = 8;
  std::atomic<std::int64_t> requests = 0, tokens = 0;
  const auto work = [&](int number) {
    std::mt19937_64 random(static_cast<std::uint64_t>(number));
    Gateway& gateway = number % 2 == 0 ? two.a : two.b;
    for (int i = 0; i < 20'000; ++i) {
      if (random() % 64 == 0) gateway.meet(kNoon);
      if (!gateway.admits(kNoon, 3)) continue;
      ++requests;
      Reserved reserved;
      const auto wanted = static_cast<std::int64_t>(random() % 40);
      if (!gateway.reserves(wanted, kNoon, reserved, 3)) continue;
      const auto used = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(wanted + 1));
      gateway.account().settle(reserved, used, kNoon);
      tokens += used;
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  // What one still holds that the other lacked at the end.
  for (int i = 0; i < 3; ++i) {
    for (Gateway* gateway : {&two.a, &two.b}) gateway->meet(kNoon, Keep::nothing);
  }
  while (two.a.admits(kNoon)) ++requests;
  while (two.a.reserves(1, kNoon)) ++tokens;
  EXPECT_EQ(requests, 20'000);
  EXPECT_EQ(tokens, 300'000);
  EXPECT_FALSE(two.b.admits(kNoon));
}

}  // namespace
}  // namespace gbgreg::keys

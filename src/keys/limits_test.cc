// Ten million requests with wrong, expired, revoked and good keys, against a second, slow opinion of what is right.
//
// The second opinion has no buckets, no table and no hashes. It keeps for each key all that was admitted and says by
// the definition: since any moment at which the key had been idle for long enough, no more may have come than a
// minute's worth and what that time brings.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "keys/keys.h"

namespace gbgreg::keys {
namespace {

using namespace std::chrono_literals;
using Micros = std::chrono::microseconds;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define GBGREG_SANITIZED 1
#endif
#endif
#ifdef GBGREG_SANITIZED
constexpr int kRequests = 300'000;
#else
constexpr int kRequests = 10'000'000;
#endif

const WallTime kFirstDay{std::chrono::days{20'000}};

// All that was admitted of one limit, and when.
class Admitted {
 public:
  explicit Admitted(std::int64_t per_minute) : per_minute_(per_minute) {}

  // Nothing of what has been is missing any more: it has no say.
  void forget(Micros now) {
    if (has_room(per_minute_, now)) events_.clear();
  }
  bool has_room(std::int64_t amount, Micros now) const {
    // What comes in a minute comes evenly; both sides times 60 million.
    std::int64_t taken = amount * kMicros;
    if (taken > per_minute_ * kMicros) return false;
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      taken += event->amount * kMicros;
      if (taken > per_minute_ * kMicros + per_minute_ * (now - event->at).count()) return false;
    }
    return true;
  }
  void take(std::int64_t amount, Micros now) { events_.push_back({now, amount}); }
  std::size_t size() const { return events_.size(); }

 private:
  struct Event {
    Micros at;
    std::int64_t amount;
  };
  static constexpr std::int64_t kMicros = 60'000'000;

  std::int64_t per_minute_;
  std::vector<Event> events_;
};

enum class Kind : std::uint8_t { good, expiring, revoked, never_made, mistyped };

// One key, by the second opinion.
struct Opinion {
  Kind kind;
  std::string secret;
  Limits limits;
  Micros expires_at{0};
  Admitted requests;
  Admitted tokens;
  std::int64_t tokens_today = 0;
  std::int64_t day = 0;
};

TEST(TenMillionRequests, AreAdmittedAndRefusedAsTheyShould) {
  constexpr int kKeys = 500;
  std::minstd_rand dice(20'261'130);
  const auto roll = [&](int below) { return static_cast<int>(dice() % static_cast<unsigned>(below)); };

  // Midnight is in the middle: a request comes every 2 ms.
  constexpr Micros kUntilMidnight = 1ms * kRequests;
  const Moment start{.steady = SteadyTime{1h}, .wall = kFirstDay + 24h - kUntilMidnight};
  std::vector<Opinion> opinions;
  std::vector<std::shared_ptr<const Key>> made;
  opinions.reserve(kKeys);
  made.reserve(kKeys);
  for (int i = 0; i < kKeys; ++i) {
    const Kind kind = i % 10 < 6 ? Kind::good : static_cast<Kind>(i % 10 - 5);
    const Limits limits{.requests_per_minute = 5 + roll(60),
                        .tokens_per_minute = 500 + roll(5'000),
                        .tokens_per_day = 20'000 + roll(2'000'000)};
    Opinion opinion{.kind = kind,
                    .secret = make_secret(),
                    .limits = limits,
                    .requests = Admitted(*limits.requests_per_minute),
                    .tokens = Admitted(*limits.tokens_per_minute)};
    Key key{.id = std::to_string(i), .name = "n", .hash = hash_of(opinion.secret), .rights = {.limits = limits}};
    key.account = std::make_shared<Account>(limits, start);
    if (kind == Kind::expiring) {
      opinion.expires_at = 2 * kUntilMidnight * roll(1'000) / 1'000;
      key.rights.expires_at = start.wall + opinion.expires_at;
    }
    if (kind == Kind::revoked) key.revoked_at = start.wall - 1h;
    if (kind == Kind::mistyped) opinion.secret[4 + static_cast<std::size_t>(roll(49))] = '!';
    if (kind != Kind::never_made && kind != Kind::mistyped) made.push_back(std::make_shared<const Key>(key));
    opinions.push_back(std::move(opinion));
  }
  const Table table(made);

  std::map<std::string, std::int64_t> counts;
  std::int64_t false_admissions = 0, false_refusals = 0, overspent = 0;
  std::size_t longest = 0;
  Micros now{0};
  const auto began = std::chrono::steady_clock::now();
  std::chrono::nanoseconds in_limiter{0};
  for (int i = 0; i < kRequests; ++i) {
    // With quiet spells.
    now += Micros{roll(4'000)};
    if (roll(20'000) == 0) now += Micros{roll(3'000'000)};
    const Moment moment{.steady = start.steady + now, .wall = start.wall + now};
    // Some are asked in bursts, so that limits are met.
    Opinion& opinion = opinions[static_cast<std::size_t>(roll(3) == 0 ? roll(kKeys) : (i / 400) % kKeys)];
    const std::int64_t thought = 1 + roll(300);
    const std::int64_t used = roll(10) == 0 ? roll(900) : thought;

    // What is right.
    const std::int64_t today = now >= kUntilMidnight ? 1 : 0;
    if (std::exchange(opinion.day, today) != today) opinion.tokens_today = 0;
    opinion.requests.forget(now);
    opinion.tokens.forget(now);
    const bool counts_as_key =
        opinion.kind == Kind::good || (opinion.kind == Kind::expiring && now < opinion.expires_at);
    const bool may_ask = counts_as_key && opinion.requests.has_room(1, now);
    const bool day_has_room = opinion.tokens_today < *opinion.limits.tokens_per_day &&
                              opinion.tokens_today + thought <= *opinion.limits.tokens_per_day;
    const bool may_use = may_ask && day_has_room && opinion.tokens.has_room(thought, now);

    // What is done.
    const auto before = std::chrono::steady_clock::now();
    const Looked looked = look_up(table, opinion.secret, moment.wall);
    Reserved reserved;
    const bool is_good = looked.answer == Answer::good;
    const bool asks = is_good && !looked.key->account->admit(moment);
    const bool uses = asks && !looked.key->account->reserve(thought, moment, reserved);
    if (uses) looked.key->account->settle(reserved, used, moment);
    in_limiter += std::chrono::steady_clock::now() - before;

    false_admissions += (is_good && !counts_as_key) + (asks && !may_ask) + (uses && !may_use);
    false_refusals += (!is_good && counts_as_key) + (!asks && may_ask) + (!uses && may_use);
    if (may_ask) opinion.requests.take(1, now);
    if (may_use) {
      opinion.tokens.take(used, now);
      opinion.tokens_today += used;
      overspent = std::max(overspent, opinion.tokens_today - *opinion.limits.tokens_per_day);
    }
    longest = std::max({longest, opinion.requests.size(), opinion.tokens.size()});
    ++counts[uses                                 ? "admitted"
             : asks                               ? "refused for tokens"
             : is_good                            ? "refused for requests"
             : looked.answer == Answer::expired   ? "expired"
             : looked.answer == Answer::revoked   ? "revoked"
             : looked.answer == Answer::malformed ? "mistyped"
                                                  : "unknown"];
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("%d requests of %d keys over %.1f hours, in %.1f s; %.0f ns each in the limiter\n", kRequests, kKeys,
              static_cast<double>(now.count()) / 3.6e9, seconds,
              static_cast<double>(in_limiter.count()) / static_cast<double>(kRequests));
  for (const auto& [what, count] : counts) std::printf("  %-22s %lld\n", what.c_str(), static_cast<long long>(count));
  std::printf("  false admissions %lld, false refusals %lld, a day overspent by %lld tokens at most (one answer)\n",
              static_cast<long long>(false_admissions), static_cast<long long>(false_refusals),
              static_cast<long long>(overspent));

  EXPECT_EQ(false_admissions, 0);
  EXPECT_EQ(false_refusals, 0);
  EXPECT_LT(overspent, 900) << "more than the one answer that was in flight";
  EXPECT_GT(now, kUntilMidnight) << "it has to go over midnight";
  for (const char* what :
       {"admitted", "refused for tokens", "refused for requests", "expired", "revoked", "mistyped", "unknown"}) {
    EXPECT_GT(counts[what], kRequests / 1000) << what;
  }
}

}  // namespace
}  // namespace gbgreg::keys

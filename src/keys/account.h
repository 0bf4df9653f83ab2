// What a key has used of its limits, and what it may still use.
//
// Tokens are not known before they are used, so they are reserved by estimate and settled by what the answer says: a
// budget is never overspent by more than what was in flight. Exact: every call is one step under the account's own
// lock, so what a thousand threads are given at once is what one after another would have been given.
//
// Where several gateways share a database, an account admits from its part of the limits (keys/share.h), which its
// owner gets by ask() and take(). Nothing is asked for as long as what it holds is enough.
//
// Any thread. Nothing here waits, and nothing throws.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

#include "core/clock.h"
#include "keys/bucket.h"
#include "keys/share.h"

namespace gbgreg::keys {

inline constexpr std::int64_t kPerDayMax = 1'000'000'000'000'000;

// Absent is unbounded. Each is from 1 to kPerMinuteMax or kPerDayMax.
struct Limits {
  std::optional<std::int64_t> requests_per_minute = {};
  std::optional<std::int64_t> tokens_per_minute = {};
  std::optional<std::int64_t> tokens_per_day = {};

  bool is_unbounded() const { return !requests_per_minute && !tokens_per_minute && !tokens_per_day; }
  bool operator==(const Limits&) const = default;
};

// Both clocks at once: the one never jumps, the other knows what day it is.
struct Moment {
  SteadyTime steady;
  WallTime wall;
};

inline Moment now_by(const Clock& clock) { return {.steady = clock.steady(), .wall = clock.wall()}; }

// In UTC.
using Day = std::chrono::sys_days;
inline Day day_of(WallTime wall) { return std::chrono::floor<std::chrono::days>(wall); }

enum class Bound : std::uint8_t { requests_per_minute, tokens_per_minute, tokens_per_day };

struct Refused {
  Bound bound;
  std::int64_t limit = 0;
  Bucket::Micros wait{0};    // Until the same would be admitted if nobody else came.
  bool is_for_ever = false;  // It is more than the whole limit.
  bool may_be_got = false;   // The account does not hold it, but the database or another gateway may have it.
};

// Tokens that a request holds while it is answered.
struct Reserved {
  std::int64_t tokens = 0;
  Day day = {};
};

// For those who want to know before they are refused.
struct Standing {
  struct Left {
    std::int64_t limit = 0;
    std::int64_t left = 0;
    Bucket::Micros reset{0};  // Until all of it is there again.
  };
  std::optional<Left> requests = {};
  std::optional<Left> tokens = {};  // Of the minute or of the day: the one of which less is left.
};

// What is kept of it over a restart.
struct Usage {
  Day day = {};
  std::int64_t requests = 0;  // Of that day, as the tokens are. Those that are reserved count as used.
  std::int64_t tokens = 0;
  WallTime requests_full_at = {};  // When the buckets are full again if nobody comes.
  WallTime tokens_full_at = {};
  WallTime used_at = {};  // The last request; the epoch when there was none.

  bool operator==(const Usage&) const = default;
};

// What an account has while gateways share.
struct Part {
  Amounts held = {};     // May be used at once.
  Amounts leased = {};   // What the database thinks is held.
  Amounts surplus = {};  // Of tokens: came back and is more than was leased; the database's.
  Amounts owed = {};
  std::int64_t left_today = 0;  // In the database.
  std::int64_t requests_needed = 0, tokens_needed = 0, tokens_least = 0;
  // Nothing is to be had before; of tokens none for those who need so many.
  SteadyTime requests_again_at = {}, tokens_again_at = {};
  std::int64_t tokens_lacking = 0;
  bool is_used = false;  // Since the last ask().
};

// Its own part of what was left, while the database is away.
struct Ration {
  std::optional<Bucket> requests;
  std::optional<Bucket> tokens;
  std::int64_t tokens_today = 0;
  int gateways = 1;
};

class Account {
 public:
  Account(const Limits& limits, Moment now);

  // One more request. Nothing is returned when it may go on. `standing`, if any, has what is left then.
  std::optional<Refused> admit(Moment now, Standing* standing = nullptr);

  // All of the tokens or none. `into` has them for settle(), which is called once.
  std::optional<Refused> reserve(std::int64_t tokens, Moment now, Reserved& into, Standing* standing = nullptr);
  void settle(const Reserved& reserved, std::int64_t used, Moment now);

  Standing standing(Moment now);

  Usage usage(Moment now);
  // What an earlier run left; before anybody is admitted.
  void restore(const Usage& usage, Moment now);

  // ---- Where gateways share a database.

  // How long what an exchange said is believed when it was that nobody has anything left.
  static constexpr Bucket::Micros kRefusalKept{200'000};

  enum class Keep : std::uint8_t {
    what_is_used,  // What nobody has taken anything of since the last time is given back.
    nothing,       // All of it: others want it, or somebody here needs more than it is.
  };

  // From now on it admits only what it holds, which is nothing. What was left is told by usage().
  void begin_sharing(Moment now);
  // Nobody else is there any more: it has `left`, which an exchange that kept nothing has given.
  void end_sharing(const Leased& left, const Usage& told, Moment now);

  // What the database is to be told and asked, and the usage that belongs to it. What is not kept is not held from here
  // on. Each call is followed by one of take(), forget() or end_sharing().
  struct Question {
    Asking asking = {};
    Usage usage = {};
    bool is_worth_asking = false;  // It has something, owes something or needs something.
  };
  Question ask(Keep keep, Moment now);
  void take(const Leased& leased, const Question& question, Moment now);
  // There was no answer. What was to be given back is lost until the buckets are filled again.
  void forget(const Question& question);

  // The database does not answer. Until it does, this is one of `gateways`, and admits its part of what was left when
  // it last did. When `has_lapsed`, others have taken back what it held.
  void cut_off(int gateways, bool has_lapsed, Moment now);

 private:
  // Under the lock.
  void turn_page(Moment now);
  std::optional<Refused> admit_shared(Moment now);
  std::optional<Refused> reserve_shared(std::int64_t tokens, Moment now, Reserved& into);
  void settle_shared(const Reserved& reserved, std::int64_t used, Moment now);
  Usage usage_now(Moment now);
  std::optional<Refused> admit_one(Moment now);
  std::optional<Refused> reserve_all(std::int64_t tokens, Moment now, Reserved& into);
  Standing stand(Moment now);

  const Limits limits_;
  std::mutex mutex_;  // Guards all below; never held while anything else is taken.
  std::optional<Bucket> requests_;
  std::optional<Bucket> tokens_;
  Day day_;
  std::int64_t requests_today_ = 0;
  std::int64_t tokens_today_ = 0;
  WallTime used_at_ = {};

  // While it shares, the buckets above are those of all gateways, as they were when the database last told, without
  // what is leased.
  std::optional<Part> part_;
  std::optional<Ration> ration_;
};

}  // namespace gbgreg::keys

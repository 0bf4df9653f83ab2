// How gateways that use one database share the limits of a key, so that all of them together admit what one would.
//
// What is left of a key is in the database. A gateway takes a part of it, its lease, admits from that without asking
// anybody, and gives back what it does not use. What is leased counts as room that is taken: no bucket is filled into
// it. So at any moment what all hold and what is still there come to no more than the limit.
//
// Pure: storage/key_shares.h does this within a transaction, by the database's clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "keys/bucket.h"

namespace gbgreg::keys {

struct Limits;

// Of each limit so much. Of what is not limited nothing is leased.
struct Amounts {
  std::int64_t requests = 0;  // Of the minute's.
  std::int64_t tokens = 0;    // Of the minute's.
  std::int64_t tokens_today = 0;

  bool operator==(const Amounts&) const = default;
};

// What a gateway tells of a key and asks for. The day is the gateway's own.
struct Asking {
  Amounts kept = {};      // Of its lease it holds this still.
  Amounts returned = {};  // Not needed. Of tokens_today there is nothing to say: what is not kept is given back.
  Amounts owed = {};      // Used without having been leased; of tokens_today likewise: what was used has been added.
  std::int64_t requests_needed = 0;
  std::int64_t tokens_needed = 0;  // By all that wait.
  std::int64_t tokens_least = 0;   // By the one that needs least.
};

// What the database has of a key.
struct Shared {
  Bucket::Micros requests_until_full{0};
  Bucket::Micros tokens_until_full{0};
  std::int64_t used_today = 0;  // What the gateway that asks has just told included.
  Amounts own = {};             // Leased to it when it last asked.
  Amounts others = {};          // Leased to all others.
  int gateways = 1;             // That share.
  bool is_wanted = false;       // Another one waits for what is leased.
};

struct Leased {
  Amounts lease = {};  // All that it holds from now on.
  // What is left for anybody.
  Bucket::Micros requests_until_full{0};
  Bucket::Micros tokens_until_full{0};
  std::int64_t left_today = 0;
  // It did not get what it needs, and others may have it.
  bool lacks_requests = false;
  bool lacks_tokens = false;
  Amounts elsewhere = {};
  bool is_wanted = false;
  // What the day came to, with all that everybody has told.
  std::int64_t requests_today = 0;
  std::int64_t tokens_today = 0;
};

Leased share_out(const Limits& limits, const Shared& shared, const Asking& asking);

}  // namespace gbgreg::keys

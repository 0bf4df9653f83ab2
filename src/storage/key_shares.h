// What gateways on one database hold of the limits of keys: the rows behind keys/share.h, and which gateways there are.
//
// A gateway meets the others here: it says that it lives, tells what its keys used and hold, and is given parts of what
// is left, all in one transaction, of which there is one at a time. Times are those of the database's clock. Of a
// gateway that has not been here for kGoneAfter the others take back what it held: of a minute's limits that heals by
// itself, of a day's it counts as used, for nobody knows.
//
// Blocking: for the storage pool. Any thread may use it.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "keys/keys.h"
#include "storage/database.h"
#include "storage/keys.h"

namespace gbgreg::storage {

class KeyShares {
 public:
  static constexpr std::chrono::seconds kGoneAfter{10};
  // A gateway that waits for what others hold says so again in less than that.
  static constexpr std::chrono::seconds kWantedFor{1};

  explicit KeyShares(Database& database) : database_(database) {}

  struct Gateway {
    std::string id;   // No other one has it, and the same folder has it again after a restart.
    std::string run;  // Of this process alone.
  };

  // Of a key: what it has used since the last time, and of one with limits what is asked.
  struct Told {
    KeyStore::Added used = {};
    bool has_used = true;  // Otherwise `used` only says which key, and which day.
    keys::Limits limits = {};
    std::optional<keys::Asking> asking = {};
    // What the gateway had of the buckets until it began to share.
    keys::Bucket::Micros requests_until_full{0};
    keys::Bucket::Micros tokens_until_full{0};
  };

  // What is left of a key by the rows of gateways that are gone.
  struct Left {
    std::string key_id;
    keys::Bucket::Micros requests_until_full{0};
    keys::Bucket::Micros tokens_until_full{0};
  };

  // Before a gateway lets anybody in. What an earlier run of it held is taken back.
  struct Entered {
    int others = 0;               // When there are any, it has to share from the start.
    std::vector<Left> left = {};  // When there are none: what is kept of the buckets, and is not kept any more.
  };
  Result<Entered> enter(const Gateway& gateway);

  enum class Sharing : std::uint8_t {
    no,     // It counts by itself, and only wants to know whether it may.
    yes,    // Its accounts admit only what they hold.
    ended,  // The same, and it keeps nothing: it will count by itself when there are no others.
  };
  struct Met {
    int others = 0;
    // Of each that asked, in their order.
    std::vector<keys::Leased> leased = {};
  };
  // Errors: conflict (gateway_twice: another process goes by this id).
  Result<Met> meet(const Gateway& gateway, Sharing sharing, std::span<const Told> told);

  // It holds nothing any more, and is gone at once.
  Result<void> leave(const Gateway& gateway);

 private:
  Database& database_;
};

}  // namespace gbgreg::storage

// Keys as they are made, kept and shown: what may be asked of a new one, and what stands in its row. Pure, but for the
// randomness of a new secret; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "keys/keys.h"
#include "storage/keys.h"

namespace gbgreg::services {

inline constexpr std::size_t kKeyNameBytesMax = 100;
inline constexpr std::size_t kKeyRolesMax = 64;

struct WantedKey {
  std::string name;
  keys::Rights rights = {};
};

// As lists show it.
struct ListedKey {
  std::string id;
  std::string name;
  std::string prefix;
  keys::Rights rights = {};
  WallTime created_at = {};
  std::optional<WallTime> revoked_at = {};
  std::optional<WallTime> last_used_at = {};
  std::int64_t requests_today = 0;
  std::int64_t tokens_today = 0;

  // "active", "expired" or "revoked".
  std::string_view status(WallTime now) const;
};

struct MadeKey {
  ListedKey key;
  std::string secret;  // Shown now and never again.
};

// The row of a new key, and its secret. Errors: malformed (key_invalid), with what would be right.
struct NewKey {
  storage::StoredKey row;
  std::string secret;
};
Result<NewKey> make_key(const WantedKey& wanted, WallTime now);

// Errors: internal (key_unreadable): somebody else wrote the row.
Result<ListedKey> listed(const storage::StoredKey& row);
// Without an account. Errors: likewise.
Result<keys::Key> key_of(const storage::StoredKey& row);

std::string day_text(keys::Day day);
storage::StoredUsage usage_row(const std::string& key_id, const keys::Usage& usage);
// Without the time of the last use. Errors: likewise.
Result<keys::Usage> usage_of(const storage::StoredUsage& row);

// "2026-12-31T00:00:00Z", with or without milliseconds. Errors: malformed (key_invalid).
Result<WallTime> read_expiry(std::string_view text);

}  // namespace gbgreg::services

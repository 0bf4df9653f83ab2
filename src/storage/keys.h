// The rows of keys, and of what each has used. A key's secret is not among them: its SHA-256 is, and the first
// characters, by which its owner knows it again.
//
// Rows of keys stay when a key is revoked, so that what it did can still be told whose it was.
//
// Blocking: for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

// One row. All text is valid UTF-8 without NUL, times are RFC 3339.
struct StoredKey {
  std::string id;
  std::string name;
  std::string hash;                            // 64 hexadecimal digits.
  std::string prefix;                          // What lists show of the secret.
  std::optional<std::string> roles_json = {};  // An array of texts; absent is all roles.
  std::optional<std::int64_t> requests_per_minute = {};
  std::optional<std::int64_t> tokens_per_minute = {};
  std::optional<std::int64_t> tokens_per_day = {};
  std::optional<std::string> expires_at = {};
  bool is_admin = false;
  std::string created_at;
  std::optional<std::string> revoked_at = {};
  std::optional<std::string> last_used_at = {};

  bool operator==(const StoredKey&) const = default;
};

// What a key has used on a day, and when its minutes are over.
struct StoredUsage {
  std::string key_id;
  std::string day;  // "2026-11-30", in UTC.
  std::int64_t requests = 0;
  std::int64_t tokens = 0;
  std::string requests_full_at;
  std::string tokens_full_at;

  bool operator==(const StoredUsage&) const = default;
};

// Within a transaction: adds to what a key has used on that day, and when it did so last.
void add_usage(soci::session& session, const StoredUsage& usage);
void note_use(soci::session& session, const std::string& key_id, const std::string& used_at);

class KeyStore {
 public:
  static constexpr int kKeysMax = 10'000;  // Revoked ones included: all of them are held in memory.

  explicit KeyStore(Database& database) : database_(database) {}

  // Errors: conflict (keys_too_many).
  Result<void> insert(const StoredKey& key);

  // All of them, the oldest first.
  Result<std::vector<StoredKey>> list();

  // As it is from now on; one that was revoked before keeps its time. Errors: not_found (key_not_found).
  Result<StoredKey> revoke(std::string_view id, std::string_view revoked_at);

  // Another text whenever a key has come or was revoked.
  Result<std::string> state();

  // Of each key the newest day that is known.
  Result<std::vector<StoredUsage>> newest_usage();

  // What has come since the last time: requests and tokens are added to those of the day, so that several gateways may
  // write. All of it or nothing. The last use of a key is `used_at`.
  struct Added {
    StoredUsage usage;
    std::optional<std::string> used_at = {};
  };
  Result<void> add_usage(std::span<const Added> added);

  // Days before this one go.
  Result<void> forget_usage_before(std::string_view day);

 private:
  Database& database_;
};

}  // namespace gbgreg::storage

#include "storage/keys.h"

#include "storage/columns.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kColumns =
    "id, name, hash, prefix, roles, requests_per_minute, tokens_per_minute, tokens_per_day, expires_at, is_admin, "
    "created_at, revoked_at, last_used_at";

std::unexpected<Error> no_such_key() {
  return fail(Kind::not_found, "key_not_found", "No key has this id. GET /api/keys and `gbgreg keys list` show them.");
}

// A number beside its indicator, as SOCI binds them.
struct NullableNumber {
  explicit NullableNumber(const std::optional<std::int64_t>& number)
      : value(number.value_or(0)), indicator(number ? soci::i_ok : soci::i_null) {}
  long long value;
  soci::indicator indicator;
};

std::optional<std::int64_t> optional_number(const soci::row& row, const std::string& column) {
  if (row.get_indicator(column) == soci::i_null) return std::nullopt;
  return row.get<long long>(column);
}

StoredKey key_from(const soci::row& row) {
  return {.id = row.get<std::string>("id"),
          .name = row.get<std::string>("name"),
          .hash = row.get<std::string>("hash"),
          .prefix = row.get<std::string>("prefix"),
          .roles_json = optional_text(row, "roles"),
          .requests_per_minute = optional_number(row, "requests_per_minute"),
          .tokens_per_minute = optional_number(row, "tokens_per_minute"),
          .tokens_per_day = optional_number(row, "tokens_per_day"),
          .expires_at = optional_text(row, "expires_at"),
          .is_admin = row.get<int>("is_admin") != 0,
          .created_at = row.get<std::string>("created_at"),
          .revoked_at = optional_text(row, "revoked_at"),
          .last_used_at = optional_text(row, "last_used_at")};
}

StoredUsage usage_from(const soci::row& row) {
  return {.key_id = row.get<std::string>("key_id"),
          .day = row.get<std::string>("day"),
          .requests = row.get<long long>("requests"),
          .tokens = row.get<long long>("tokens"),
          .requests_full_at = row.get<std::string>("requests_full_at"),
          .tokens_full_at = row.get<std::string>("tokens_full_at")};
}

}  // namespace

void add_usage(soci::session& session, const StoredUsage& usage) {
  const long long requests = usage.requests, tokens = usage.tokens;
  session << "INSERT INTO gbgreg_key_usage (key_id, day, requests, tokens, requests_full_at, tokens_full_at) VALUES "
             "(:key_id, :day, :requests, :tokens, :requests_full_at, :tokens_full_at) ON CONFLICT (key_id, day) DO "
             "UPDATE SET requests = gbgreg_key_usage.requests + excluded.requests, tokens = gbgreg_key_usage.tokens + "
             "excluded.tokens, requests_full_at = excluded.requests_full_at, tokens_full_at = excluded.tokens_full_at",
      soci::use(usage.key_id, "key_id"), soci::use(usage.day, "day"), soci::use(requests, "requests"),
      soci::use(tokens, "tokens"), soci::use(usage.requests_full_at, "requests_full_at"),
      soci::use(usage.tokens_full_at, "tokens_full_at");
}

void note_use(soci::session& session, const std::string& key_id, const std::string& used_at) {
  session << "UPDATE gbgreg_keys SET last_used_at = :used_at WHERE id = :id", soci::use(used_at, "used_at"),
      soci::use(key_id, "id");
}

Result<void> KeyStore::insert(const StoredKey& key) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    int count = 0;
    session << "SELECT count(*) FROM gbgreg_keys", soci::into(count);
    if (count >= kKeysMax) {
      return fail(Kind::conflict, "keys_too_many",
                  "There are " + std::to_string(kKeysMax) + " keys already, revoked ones included.");
    }
    Nullable roles(key.roles_json), expires_at(key.expires_at), revoked_at(key.revoked_at),
        last_used_at(key.last_used_at);
    NullableNumber requests(key.requests_per_minute), tokens(key.tokens_per_minute), today(key.tokens_per_day);
    const int is_admin = key.is_admin ? 1 : 0;
    session << "INSERT INTO gbgreg_keys (" << kColumns
            << ") VALUES (:id, :name, :hash, :prefix, :roles, :requests_per_minute, :tokens_per_minute, "
               ":tokens_per_day, :expires_at, :is_admin, :created_at, :revoked_at, :last_used_at)",
        soci::use(key.id, "id"), soci::use(key.name, "name"), soci::use(key.hash, "hash"),
        soci::use(key.prefix, "prefix"), soci::use(roles.value, roles.indicator, "roles"),
        soci::use(requests.value, requests.indicator, "requests_per_minute"),
        soci::use(tokens.value, tokens.indicator, "tokens_per_minute"),
        soci::use(today.value, today.indicator, "tokens_per_day"),
        soci::use(expires_at.value, expires_at.indicator, "expires_at"), soci::use(is_admin, "is_admin"),
        soci::use(key.created_at, "created_at"), soci::use(revoked_at.value, revoked_at.indicator, "revoked_at"),
        soci::use(last_used_at.value, last_used_at.indicator, "last_used_at");
    return {};
  });
}

Result<std::vector<StoredKey>> KeyStore::list() {
  return database_.with_connection([](soci::session& session) -> Result<std::vector<StoredKey>> {
    const soci::rowset<soci::row> rows = (session.prepare << "SELECT " << kColumns << " FROM gbgreg_keys ORDER BY id");
    std::vector<StoredKey> keys;
    for (const soci::row& row : rows) keys.push_back(key_from(row));
    return keys;
  });
}

Result<StoredKey> KeyStore::revoke(std::string_view id, std::string_view revoked_at) {
  const std::string wanted(id), now(revoked_at);
  return database_.in_transaction([&](soci::session& session) -> Result<StoredKey> {
    session << "UPDATE gbgreg_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL", soci::use(now, "now"),
        soci::use(wanted, "id");
    soci::row row;
    session << "SELECT " << kColumns << " FROM gbgreg_keys WHERE id = :id", soci::into(row), soci::use(wanted, "id");
    if (!session.got_data()) return no_such_key();
    return key_from(row);
  });
}

Result<std::string> KeyStore::state() {
  return database_.with_connection([](soci::session& session) -> Result<std::string> {
    int count = 0, revoked = 0;
    std::string newest, last_revoked;
    session << "SELECT count(*), count(revoked_at), coalesce(max(id), ''), coalesce(max(revoked_at), '') "
               "FROM gbgreg_keys",
        soci::into(count), soci::into(revoked), soci::into(newest), soci::into(last_revoked);
    return std::to_string(count) + " " + std::to_string(revoked) + " " + newest + " " + last_revoked;
  });
}

Result<std::vector<StoredUsage>> KeyStore::newest_usage() {
  return database_.with_connection([](soci::session& session) -> Result<std::vector<StoredUsage>> {
    const soci::rowset<soci::row> rows =
        (session.prepare
         << "SELECT u.key_id AS key_id, u.day AS day, u.requests AS requests, u.tokens AS tokens, "
            "u.requests_full_at AS requests_full_at, u.tokens_full_at AS tokens_full_at FROM gbgreg_key_usage u "
            "JOIN (SELECT key_id, max(day) AS day FROM gbgreg_key_usage GROUP BY key_id) newest "
            "ON u.key_id = newest.key_id AND u.day = newest.day");
    std::vector<StoredUsage> all;
    for (const soci::row& row : rows) all.push_back(usage_from(row));
    return all;
  });
}

Result<void> KeyStore::add_usage(std::span<const Added> added) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    for (const Added& one : added) {
      storage::add_usage(session, one.usage);
      if (one.used_at) note_use(session, one.usage.key_id, *one.used_at);
    }
    return {};
  });
}

Result<void> KeyStore::forget_usage_before(std::string_view day) {
  const std::string first(day);
  return database_.with_connection([&](soci::session& session) -> Result<void> {
    session << "DELETE FROM gbgreg_key_usage WHERE day < :day", soci::use(first, "day");
    return {};
  });
}

}  // namespace gbgreg::storage

#include "services/key_rows.h"

#include <algorithm>

#include "core/utf8.h"
#include "protocols/json_reader.h"
#include "protocols/json_writer.h"

namespace gbgreg::services {
namespace {

std::unexpected<Error> invalid(std::string message) { return fail(Kind::malformed, "key_invalid", std::move(message)); }

std::unexpected<Error> unreadable(const std::string& id, const char* column) {
  return fail(Kind::internal, "key_unreadable",
              "A row of gbgreg_keys cannot be read; revoke that key and make another.", "key " + id + ": " + column);
}

// What stands in lists, headers and logs.
bool is_name(std::string_view text) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return !text.empty() && text.size() <= kKeyNameBytesMax && is_valid_utf8(text) &&
         std::ranges::none_of(text, is_control);
}

Result<void> check_bound(const std::optional<std::int64_t>& bound, std::int64_t most, const std::string& name) {
  if (!bound || (*bound >= 1 && *bound <= most)) return {};
  return invalid(name + " must be a whole number from 1 to " + std::to_string(most) + ", or left out.");
}

Result<void> check(const WantedKey& wanted, WallTime now) {
  const std::string most = std::to_string(kKeyNameBytesMax);
  if (!is_name(wanted.name)) {
    return invalid("name must be a text of 1 to " + most + " bytes without control characters.");
  }
  const keys::Rights& rights = wanted.rights;
  if (rights.roles) {
    const bool are_names = std::ranges::all_of(*rights.roles, is_name);
    if (rights.roles->empty() || rights.roles->size() > kKeyRolesMax || !are_names) {
      return invalid("roles must be 1 to " + std::to_string(kKeyRolesMax) +
                     " names of roles, or be left out for all of them.");
    }
  }
  const keys::Limits& limits = rights.limits;
  const auto requests = check_bound(limits.requests_per_minute, keys::kPerMinuteMax, "requests_per_minute");
  if (!requests) return requests;
  const auto tokens = check_bound(limits.tokens_per_minute, keys::kPerMinuteMax, "tokens_per_minute");
  if (!tokens) return tokens;
  if (auto day = check_bound(limits.tokens_per_day, keys::kPerDayMax, "tokens_per_day"); !day) return day;
  if (rights.expires_at && *rights.expires_at <= now) return invalid("expires_at must be in the future.");
  return {};
}

std::string roles_json(const std::vector<std::string>& roles) {
  std::string out;
  protocols::JsonWriter json(out);
  json.open_array();
  for (const std::string& role : roles) json.text(role);
  json.close_array();
  return out;
}

bool read_roles(const std::string& text, std::vector<std::string>& roles) {
  const auto read_role = [&](protocols::JsonValue& value) { return value.read_text(roles.emplace_back()); };
  const auto read_field = [&](std::string_view name, protocols::JsonValue& value) {
    return name == "roles" ? value.each_element(read_role) : value.must_be("nothing");
  };
  return protocols::read_json_object(R"({"roles":)" + text + "}", {}, read_field).has_value();
}

std::optional<std::string> time_text(const std::optional<WallTime>& time) {
  if (!time) return std::nullopt;
  return rfc3339(*time);
}

// False when there is a text that is no time.
bool read_time(const std::optional<std::string>& text, std::optional<WallTime>& time) {
  if (!text) return true;
  time = parse_rfc3339(*text);
  return time.has_value();
}

}  // namespace

std::string_view ListedKey::status(WallTime now) const {
  if (revoked_at) return "revoked";
  return rights.expires_at && now >= *rights.expires_at ? "expired" : "active";
}

Result<NewKey> make_key(const WantedKey& wanted, WallTime now) {
  if (auto checked = check(wanted, now); !checked) return std::unexpected(std::move(checked.error()));
  const keys::Rights& rights = wanted.rights;
  NewKey made{.row = {}, .secret = keys::make_secret()};
  made.row = {.id = new_uuid(now),
              .name = wanted.name,
              .hash = keys::hex_of(keys::hash_of(made.secret)),
              .prefix = made.secret.substr(0, keys::kShownCharacters),
              .requests_per_minute = rights.limits.requests_per_minute,
              .tokens_per_minute = rights.limits.tokens_per_minute,
              .tokens_per_day = rights.limits.tokens_per_day,
              .expires_at = time_text(rights.expires_at),
              .is_admin = rights.is_admin,
              .created_at = rfc3339(now)};
  if (rights.roles) made.row.roles_json = roles_json(*rights.roles);
  return made;
}

Result<ListedKey> listed(const storage::StoredKey& row) {
  ListedKey key{.id = row.id,
                .name = row.name,
                .prefix = row.prefix,
                .rights = {.limits = {.requests_per_minute = row.requests_per_minute,
                                      .tokens_per_minute = row.tokens_per_minute,
                                      .tokens_per_day = row.tokens_per_day},
                           .is_admin = row.is_admin}};
  if (row.roles_json && !read_roles(*row.roles_json, key.rights.roles.emplace())) return unreadable(row.id, "roles");
  std::optional<WallTime> created_at;
  if (!read_time(row.created_at, created_at)) return unreadable(row.id, "created_at");
  key.created_at = *created_at;
  if (!read_time(row.expires_at, key.rights.expires_at)) return unreadable(row.id, "expires_at");
  if (!read_time(row.revoked_at, key.revoked_at)) return unreadable(row.id, "revoked_at");
  if (!read_time(row.last_used_at, key.last_used_at)) return unreadable(row.id, "last_used_at");
  return key;
}

Result<keys::Key> key_of(const storage::StoredKey& row) {
  auto known = listed(row);
  if (!known) return std::unexpected(std::move(known.error()));
  const auto hash = keys::hash_in(row.hash);
  if (!hash) return unreadable(row.id, "hash");
  return keys::Key{.id = row.id,
                   .name = row.name,
                   .hash = *hash,
                   .rights = std::move(known->rights),
                   .revoked_at = known->revoked_at};
}

std::string day_text(keys::Day day) { return rfc3339(day).substr(0, std::string_view("2026-11-30").size()); }

storage::StoredUsage usage_row(const std::string& key_id, const keys::Usage& usage) {
  return {.key_id = key_id,
          .day = day_text(usage.day),
          .requests = usage.requests,
          .tokens = usage.tokens,
          .requests_full_at = rfc3339(std::chrono::ceil<std::chrono::milliseconds>(usage.requests_full_at)),
          .tokens_full_at = rfc3339(std::chrono::ceil<std::chrono::milliseconds>(usage.tokens_full_at))};
}

Result<keys::Usage> usage_of(const storage::StoredUsage& row) {
  const auto day = parse_rfc3339(row.day + "T00:00:00.000Z");
  const auto requests_full_at = parse_rfc3339(row.requests_full_at);
  const auto tokens_full_at = parse_rfc3339(row.tokens_full_at);
  if (!day || !requests_full_at || !tokens_full_at) return unreadable(row.key_id, "its usage");
  return keys::Usage{.day = keys::day_of(*day),
                     .requests = row.requests,
                     .tokens = row.tokens,
                     .requests_full_at = *requests_full_at,
                     .tokens_full_at = *tokens_full_at};
}

Result<WallTime> read_expiry(std::string_view text) {
  std::string whole(text);
  constexpr std::size_t kWithoutMilliseconds = 20;
  if (whole.size() == kWithoutMilliseconds && whole.ends_with('Z')) whole.replace(whole.size() - 1, 1, ".000Z");
  const auto time = parse_rfc3339(whole);
  if (!time) return invalid("expires_at must be a time like 2026-12-31T00:00:00Z.");
  return *time;
}

}  // namespace gbgreg::services

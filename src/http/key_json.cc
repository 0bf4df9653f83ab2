#include "http/key_json.h"

#include "protocols/json_writer.h"

namespace gbgreg::http {
namespace {

using protocols::JsonWriter;
using services::ListedKey;

void write_time(JsonWriter& json, const std::optional<WallTime>& time) {
  if (time) {
    json.text(rfc3339(*time));
  } else {
    json.null();
  }
}

void write_key(JsonWriter& json, const ListedKey& key, WallTime now) {
  const keys::Limits& limits = key.rights.limits;
  json.open_object();
  json.key("id").text(key.id);
  json.key("name").text(key.name);
  json.key("prefix").text(key.prefix);
  json.key("status").text(key.status(now));
  json.key("admin").boolean(key.rights.is_admin);
  json.key("roles");
  if (key.rights.roles) {
    json.open_array();
    for (const std::string& role : *key.rights.roles) json.text(role);
    json.close_array();
  } else {
    json.null();
  }
  json.key("requests_per_minute").number_or_null(limits.requests_per_minute);
  json.key("tokens_per_minute").number_or_null(limits.tokens_per_minute);
  json.key("tokens_per_day").number_or_null(limits.tokens_per_day);
  json.key("requests_today").number(key.requests_today);
  json.key("tokens_today").number(key.tokens_today);
  json.key("created_at").text(rfc3339(key.created_at));
  json.key("expires_at");
  write_time(json, key.rights.expires_at);
  json.key("revoked_at");
  write_time(json, key.revoked_at);
  json.key("last_used_at");
  write_time(json, key.last_used_at);
  json.close_object();
}

}  // namespace

std::string keys_json(const std::vector<ListedKey>& keys, WallTime now) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("keys").open_array();
  for (const ListedKey& key : keys) write_key(json, key, now);
  json.close_array();
  json.close_object();
  return out;
}

std::string key_json(const ListedKey& key, WallTime now) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("key");
  write_key(json, key, now);
  json.close_object();
  return out;
}

std::string made_key_json(const services::MadeKey& made, WallTime now) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("key");
  write_key(json, made.key, now);
  json.key("secret").text(made.secret);
  json.close_object();
  return out;
}

}  // namespace gbgreg::http

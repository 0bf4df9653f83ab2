#include "http/handlers/keys.h"

#include "http/key_json.h"
#include "protocols/json_reader.h"

namespace gbgreg::http {
namespace {

using protocols::JsonType;
using protocols::JsonValue;

// Who has the answer has the key, so nothing on the way may keep it.
net::HeaderFields not_to_be_kept() { return {{.name = "Cache-Control", .value = "no-store"}}; }

Result<void> read_roles(JsonValue& value, keys::Rights& rights) {
  if (value.type() == JsonType::null) return value.skip();
  auto& roles = rights.roles.emplace();
  return value.each_element([&](JsonValue& element) -> Result<void> {
    if (roles.size() == services::kKeyRolesMax) return value.must_be("fewer roles");
    return element.read_text(roles.emplace_back(), services::kKeyNameBytesMax);
  });
}

Result<void> read_expires_at(JsonValue& value, keys::Rights& rights) {
  if (value.type() == JsonType::null) return value.skip();
  std::string text;
  if (auto read = value.read_text(text); !read) return read;
  const auto expires_at = services::read_expiry(text);
  if (!expires_at) return std::unexpected(expires_at.error());
  rights.expires_at = *expires_at;
  return {};
}

}  // namespace

Result<services::WantedKey> parse_wanted_key(std::string_view body, const protocols::Limits& limits) {
  services::WantedKey wanted;
  std::optional<bool> is_admin;
  const auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    keys::Limits& bounds = wanted.rights.limits;
    if (name == "name") return value.read_text(wanted.name, services::kKeyNameBytesMax);
    if (name == "roles") return read_roles(value, wanted.rights);
    if (name == "requests_per_minute") return value.read_integer(bounds.requests_per_minute, 1, keys::kPerMinuteMax);
    if (name == "tokens_per_minute") return value.read_integer(bounds.tokens_per_minute, 1, keys::kPerMinuteMax);
    if (name == "tokens_per_day") return value.read_integer(bounds.tokens_per_day, 1, keys::kPerDayMax);
    if (name == "expires_at") return read_expires_at(value, wanted.rights);
    if (name == "admin") return value.read_boolean(is_admin);
    return value.must_be(
        "left out: a key has name, roles, requests_per_minute, tokens_per_minute, tokens_per_day, expires_at and "
        "admin");
  };
  const protocols::JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = protocols::read_json_object(body, bounds, read_field); !read) return std::unexpected(read.error());
  wanted.rights.is_admin = is_admin.value_or(false);
  return wanted;
}

Task<Result<void>> KeyHandlers::list(Call& call) {
  const auto all = co_await keys_.list();
  if (!all) co_return std::unexpected(all.error());
  const std::string body = keys_json(*all, clock_.wall());
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> KeyHandlers::create(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto wanted = parse_wanted_key(body->text, json_.limits());
  if (!wanted) co_return std::unexpected(std::move(wanted.error()));
  keys::Rights maker = call.caller.key()->rights;  // There is one: KeyGate lets nobody else in here.
  const auto made = co_await keys_.create(std::move(maker), std::move(*wanted));
  if (!made) co_return std::unexpected(made.error());
  call.target = {.id = made->key.id, .name = made->key.name};
  const std::string answer = made_key_json(*made, clock_.wall());
  co_return co_await call.exchange.respond(200, kJson, answer, not_to_be_kept());
}

Task<Result<void>> KeyHandlers::revoke(Call& call) {
  const auto revoked = co_await keys_.revoke(call.parameter);
  if (!revoked) co_return std::unexpected(revoked.error());
  call.target.name = revoked->name;
  const std::string answer = key_json(*revoked, clock_.wall());
  co_return co_await call.exchange.respond(200, kJson, answer);
}

}  // namespace gbgreg::http

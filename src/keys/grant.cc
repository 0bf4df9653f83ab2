#include "keys/grant.h"

#include <algorithm>

namespace gbgreg::keys {
namespace {

// Absent is unbounded, and so more than any bound.
template <class T>
bool is_within(const std::optional<T>& maker, const std::optional<T>& wanted) {
  return !maker || (wanted && *wanted <= *maker);
}

std::unexpected<Error> too_strong(const std::string& what) {
  return fail(Kind::forbidden, "key_too_strong",
              "A key gives no more than it has: " + what + " of the new key would go beyond that of yours.");
}

}  // namespace

Result<void> check_grant(const Rights& maker, const Rights& wanted) {
  const bool has_roles =
      !maker.roles || (wanted.roles && std::ranges::all_of(*wanted.roles, [&](const std::string& role) {
                         return maker.may_use(role);
                       }));
  if (!has_roles) return too_strong("roles");
  if (wanted.is_admin && !maker.is_admin) return too_strong("admin");
  const Limits &own = maker.limits, &asked = wanted.limits;
  if (!is_within(own.requests_per_minute, asked.requests_per_minute)) return too_strong("requests_per_minute");
  if (!is_within(own.tokens_per_minute, asked.tokens_per_minute)) return too_strong("tokens_per_minute");
  if (!is_within(own.tokens_per_day, asked.tokens_per_day)) return too_strong("tokens_per_day");
  if (!is_within(maker.expires_at, wanted.expires_at)) return too_strong("expires_at");
  return {};
}

}  // namespace gbgreg::keys

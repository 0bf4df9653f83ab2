// One key: what it may, and its account. Never changes after it was made; a key that is revoked is another value in
// the next table, with the same account.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "keys/account.h"
#include "keys/secret.h"

namespace gbgreg::keys {

// What a key may.
struct Rights {
  std::optional<std::vector<std::string>> roles = {};  // Absent: all of them.
  Limits limits = {};
  std::optional<WallTime> expires_at = {};
  bool is_admin = false;

  bool may_use(std::string_view role) const { return !roles || std::ranges::find(*roles, role) != roles->end(); }
  bool operator==(const Rights&) const = default;
};

struct Key {
  std::string id;
  std::string name;
  Hash hash = {};
  Rights rights = {};
  std::optional<WallTime> revoked_at = {};
  // Shared by the tables, one after another, and by the requests that are under way, whichever goes last.
  std::shared_ptr<Account> account = {};
};

}  // namespace gbgreg::keys

// Brings the tables of a database up to what this program knows. Forward only; what has been released is never edited.
//
// Blocking: called once at start, before anything else uses the database.
#pragma once

#include <span>
#include <string_view>

#include "core/clock.h"
#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

struct Migration {
  int version;  // 1, 2, 3 … without gaps.
  std::string_view name;
  std::span<const std::string_view> statements;
};

// All that this program knows, oldest first.
std::span<const Migration> known_migrations();

// Applies what is missing, all of it or nothing. The time is written beside each. Errors: conflict (schema_newer: the
// database was made by a newer gbgreg, and is left as it is), and those of the database.
Result<void> migrate(Database& database, const Clock& clock,
                     std::span<const Migration> migrations = known_migrations());

}  // namespace gbgreg::storage

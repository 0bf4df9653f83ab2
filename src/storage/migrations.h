// Brings the tables of a database up to what this program knows. Forward only; what has been released is never edited.
//
// Every statement is SQL that SQLite and PostgreSQL both understand, but for what Dialect::definition() puts right.
// Columns are text, bigint, integer or double precision, so that copy_rows.h can carry them from one to the other.
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
  int version;  // 1, 2, 3 …; upwards, and a number that was left out stays so.
  std::string_view name;
  std::span<const std::string_view> statements;
};

// All that this program knows, oldest first.
std::span<const Migration> known_migrations();

struct SchemaChange {
  int from = 0;  // The version that was found; zero of a database without our tables.
  int to = 0;
};

// Applies what is missing, all of it or nothing. The time is written beside each. Of two gateways that begin at once
// the second waits, and finds nothing missing. Errors: conflict (schema_newer: the database was made by a newer gbgreg,
// and is left as it is), and those of the database.
Result<SchemaChange> migrate(Database& database, const Clock& clock,
                             std::span<const Migration> migrations = known_migrations());

// The version that a database has, without touching it; zero when it has none of our tables.
Result<int> schema_version(Database& database);
int newest_schema_version();

}  // namespace gbgreg::storage

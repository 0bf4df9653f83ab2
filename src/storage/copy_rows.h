// The rows of all tables, from one database into another, whichever of those that we speak they are.
//
// Blocking, for the command line: it takes as long as there are rows. Any thread; the source may be in use.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

struct TableRows {
  std::string table;
  std::uint64_t rows = 0;

  bool operator==(const TableRows&) const = default;
};

// Of each table but the list of migrations, by name.
Result<std::vector<TableRows>> count_rows(Database& database);

struct RowsProgress {
  std::uint64_t rows_done = 0;
  std::uint64_t rows_total = 0;
};
using ShowRows = std::function<void(const RowsProgress&)>;

// Copies what the source has at one moment, all of it in one transaction of the target or nothing. Gives back what
// there is of each table afterwards, which has been counted on both sides. Errors: conflict (schema_older,
// schema_newer: one of them is of another version than this program's; target_not_empty: some table of the target has
// rows already); internal (copy_incomplete); those of the databases.
Result<std::vector<TableRows>> copy_rows(Database& from, Database& to, const ShowRows& show);

}  // namespace gbgreg::storage

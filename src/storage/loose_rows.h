// Rows that name others that are not there: what no gateway ever leaves, but a database that somebody has mended by
// hand may have.
//
// Blocking, for the command line. It only reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

struct LooseRows {
  std::string what;  // "files of projects that are not there"
  std::uint64_t rows = 0;
};

// Only what there is of, so nothing of a database that is well.
Result<std::vector<LooseRows>> find_loose_rows(Database& database);

}  // namespace gbgreg::storage

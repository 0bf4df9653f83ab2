// The database at start: opened, with its tables brought up, on a full disk too.
//
// Blocking: called once, before anything else uses the database.
#pragma once

#include <memory>

#include "core/clock.h"
#include "core/error.h"
#include "storage/database.h"
#include "storage/options.h"
#include "storage/reserve.h"

namespace gbgreg::storage {

// SQLite needs some room to open a database (its shared memory, its log). When there is none, the reserve of an earlier
// run is given up, and it is tried once more; after a success the caller takes it again. Errors: those of
// Database::open and migrate.
Result<std::unique_ptr<Database>> open_database(const Options& options, const Clock& clock, Reserve& reserve);

}  // namespace gbgreg::storage

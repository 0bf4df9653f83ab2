// Whether a database file is well, without touching it: for whoever has no gateway to ask.
//
// Blocking, for a bounded time. Any thread, beside a gateway that uses the file, too.
#pragma once

#include <chrono>
#include <filesystem>

#include "core/error.h"

namespace gbgreg::storage {

// Opens it for reading and has SQLite go through it for `time_max`; what has not been seen by then counts as well. A
// file that is not there, or empty, is well: it is made at the first start.
// Errors: malformed, database_corrupt (it is no database, or its pages contradict each other); unavailable,
// database_unreadable.
Result<void> check_integrity(const std::filesystem::path& database, std::chrono::milliseconds time_max);

}  // namespace gbgreg::storage

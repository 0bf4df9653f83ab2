// What is done with records afterwards: sums of minutes become those of ten minutes, these become those of hours, and
// so on to days, and what is old goes.
//
// Blocking. Several processes may do it at once on one database: each comes to the same.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/core.h"
#include "storage/requests.h"

namespace gbgreg::records {

// Seconds: of minutes and tens of them, of hours and sixes of them. Sums of days stay.
inline constexpr std::int64_t kMinuteSumsKept = 3 * 86'400;
inline constexpr std::int64_t kHourSumsKept = 100 * 86'400;

// Rows are kept for `kept`. Does a bounded piece of work and comes back; what is left is for the next time. Errors:
// those of the database.
Result<void> keep_up(storage::RequestStore& store, WallTime now, std::chrono::days kept);

}  // namespace gbgreg::records

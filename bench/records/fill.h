// Puts what was asked into a database, by the code of the gateway, and says how long that took.
#pragma once

#include <cstdint>
#include <vector>

#include "gateway.h"

namespace gbgreg::bench {

// Milliseconds, one each time.
struct Filled {
  std::int64_t rows = 0;
  std::int64_t sums = 0;  // Of minutes, written; many of them more than once.
  double seconds = 0;
  std::vector<double> writes;  // Of one transaction.
  std::vector<double> upkeep;  // Of one hour.
};

// `rows` from `from` to `to`, `at_once` to a transaction, with the sums of minutes as a recorder writes them; with
// those of hours and days, as they come, when `keeps_up`. Afterwards the calendar stands at `to`.
struct Plan {
  WallTime from, to;
  std::int64_t rows = 0;
  std::size_t at_once = 4'096;
  bool keeps_up = true;
};
Filled fill(storage::RequestStore& store, Calendar& calendar, const Plan& plan);

// Rows of uploads without bytes, in one transaction.
void fill_uploads(storage::Database& database, WallTime from, WallTime to, int count);

}  // namespace gbgreg::bench

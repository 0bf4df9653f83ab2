// Rows of requests by SQLite's own interface: of all that a busy gateway writes they are the most, and a tenth of the
// time of the thread that writes them was SOCI's own. For RequestStore.
#pragma once

#include <soci/soci.h>

#include <span>

#include "storage/requests.h"

namespace gbgreg::storage {

// Within the session's transaction. Rows whose id is there already are left as they are. False, and nothing is done,
// when the database is another one. Throws what SOCI throws.
bool insert_by_sqlite(soci::session& session, std::span<const RequestRow> rows);

}  // namespace gbgreg::storage

// What a command of the command line did, for the audit trail of the database that is configured. It is written right
// after what it tells, under the name of the system's user. Where it cannot be written there is a warning on standard
// error, and no failure: what was done is done.
#pragma once

#include "config/config.h"
#include "services/audit.h"
#include "storage/database.h"

namespace gbgreg::app {

// Of the deed only what was done to what has to be said.
void note_command(storage::Database& database, services::Deed deed);

// The same for a command that has no database open. Where there is none yet, none is made for it.
void note_command(const config::Config& config, services::Deed deed);

}  // namespace gbgreg::app

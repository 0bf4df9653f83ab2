// The vocabulary that every other room speaks: results and errors, tasks, ids, clocks.
//
// Its names live directly in namespace gbgreg, because they are read on every page. It knows nothing of HTTP, models
// or files and keeps no state but a per-thread random generator (ids.cc). The one thread it starts belongs to the log,
// which flushes every second (log.cc).
#pragma once

#include "core/clock.h"
#include "core/error.h"
#include "core/ids.h"
#include "core/task.h"

// The vocabulary that every other room speaks: results and errors, tasks, ids, clocks, stop-watches.
//
// Its names live directly in namespace gbgreg, because they are read on every page. It knows nothing of HTTP, models
// or files, starts no thread and keeps no state but a per-thread random generator (ids.cc).
#pragma once

#include "core/clock.h"
#include "core/error.h"
#include "core/ids.h"
#include "core/task.h"

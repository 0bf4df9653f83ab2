// The cage that a jail program puts itself into. It has three bars that do not depend on each other, so that a kernel
// without one of them still has the others:
//
//   namespaces    no network, no processes but its own, no shared memory of others
//   Landlock      no file can be opened, made, renamed or removed anywhere
//   system calls  only those on a list; any other ends the process (or is refused, where libraries try in vain)
//
// Beside them, always: no new privileges, bounds on memory, processor time, files and processes, death with the
// gateway's thread that started it.
//
// Two steps, because libraries open files of their own when they start: leave_the_world() comes first of all in main(),
// lock_the_cage() before the first foreign byte is read. One thread.
#pragma once

#include <cstdint>

namespace gbgreg::jail {

struct CageOptions {
  std::uint64_t memory_bytes = 0;  // Address space, not counting sanitizers, which need terabytes of it.
  unsigned cpu_seconds = 0;
  bool may_have_threads = false;
};

struct Cage {
  bool has_namespaces = false;
  bool has_landlock = false;
  bool has_system_calls = false;
};

// Closes every descriptor but 0, 1 and 2, sends standard error to nowhere and sets the bounds. False when the bounds
// cannot be set: then the caller leaves.
bool leave_the_world(const CageOptions& options, Cage& cage);

// After this only descriptors that are open can be used. False when not even no_new_privileges can be had.
bool lock_the_cage(const CageOptions& options, Cage& cage);

}  // namespace gbgreg::jail

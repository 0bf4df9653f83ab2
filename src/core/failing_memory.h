// Makes memory short for a test: allocations of one thread fail. Of our own code, that is, and of what it inlines; what
// the libraries take for themselves never fails. Only tests that name it in their CMakeLists.txt are linked that way
// (gbgreg_failing_memory).
#pragma once

namespace gbgreg {

// Of this thread's allocations the next `spared` succeed, and the one after them fails.
void fail_allocation_after(int spared);

// All of this thread's allocations fail.
void fail_all_allocations();

// Nothing fails on this thread any more.
void spare_allocations();

// How many have failed, on all threads.
int failed_allocations();

}  // namespace gbgreg

// Makes memory short for a test: one allocation of one thread fails. Of our own code, that is, and of what it inlines;
// what the libraries take for themselves never fails. net_test alone is linked that way (CMakeLists.txt).
#pragma once

namespace gbgreg::net {

// Of this thread's allocations the next `spared` succeed, and the one after them fails.
void fail_allocation_after(int spared);

// Nothing fails on this thread any more.
void spare_allocations();

// How many have failed, on all threads.
int failed_allocations();

}  // namespace gbgreg::net

// Makes memory short for a test: one allocation of one thread fails. It works in a program that links
// failing_memory.cc, which takes the place of the library's allocation; until a test asks, nothing fails.
#pragma once

namespace gbgreg::net {

// Of this thread's allocations the next `spared` succeed, and the one after them fails.
void fail_allocation_after(int spared);

// Nothing fails on this thread any more.
void spare_allocations();

// How many have failed, on all threads.
int failed_allocations();

}  // namespace gbgreg::net

// Lets who waits for an answer of a model come first while bytes are taken in.
//
// A niceness alone does not: a thread that wakes on a core where a nice one computes may still wait for the scheduler's
// next tick, 4 ms on most kernels, and a request wakes several. So one core, of several, is left to the others.
#pragma once

#include <sys/types.h>

namespace gbgreg::intake {

// A thread of this process (gettid()), or a child and what it starts from then on. For good: nobody may come forward
// again. What the kernel refuses is left as it was. Any thread.
void step_back(pid_t id);

}  // namespace gbgreg::intake

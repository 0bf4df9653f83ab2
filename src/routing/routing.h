// Which model should answer a prompt: pure, no I/O, no threads, microseconds. A first, honest set of rules that can be
// read and argued with; a trained router is to take the place of policy.cc behind the same function.
//
//   features.h    what is seen in a prompt: one bounded pass over its text
//   complexity.h  how much work it is, 1 to 5
//   embedders.h   which model makes vectors of texts
//   policy.h      role, model, reasons and what it will probably take
#pragma once

#include "routing/complexity.h"
#include "routing/embedders.h"
#include "routing/features.h"
#include "routing/policy.h"

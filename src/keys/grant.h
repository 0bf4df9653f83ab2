// What one key may give to another: no more than it has itself, or whoever holds a key that may little could make one
// that may everything. Pure.
#pragma once

#include "core/error.h"
#include "keys/key.h"

namespace gbgreg::keys {

// Errors: forbidden (key_too_strong), with what is more than the maker's own.
Result<void> check_grant(const Rights& maker, const Rights& wanted);

}  // namespace gbgreg::keys

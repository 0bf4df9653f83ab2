// The facts as JSON, for a file that is attached to a question. Pure.
//
// It holds no file of the owner's and no name but those of devices and libraries; of a card's serial numbers only so
// much stays that two cards can be told apart.
#pragma once

#include <string>

#include "gpu/facts.h"

namespace gbgreg::gpu {

std::string describe(const Facts& facts);

}  // namespace gbgreg::gpu

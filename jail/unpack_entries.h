// Says what is in the archive on standard input, entry after entry, in the messages of unpack.cc. From within the cage;
// one thread.
#pragma once

#include <cstdint>
#include <span>

#include "zip_directory.h"

namespace gbgreg::jail {

// `file` is the same archive, mapped.
void unpack(const ZipBounds& bounds, std::span<const std::uint8_t> file);

}  // namespace gbgreg::jail

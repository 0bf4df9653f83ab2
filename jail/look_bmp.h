// Reads a BMP strictly: uncompressed, with 1, 4 or 8 bits and a palette, 24 bits, or 32 bits, whose channels may be
// said by masks of a byte each; bottom-up or top-down. libvips would ask ImageMagick for it, which is not to see
// foreign bytes here. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "look_pixels.h"

namespace gbgreg::jail {

// Three bands, or four when one of the masks says how opaque a pixel is. Errors: damaged (also what is compressed or of
// another depth, whose header says so), too large.
Looked<Pixels> read_bmp(std::span<const std::uint8_t> file, const intake::ImageLimits& limits);

}  // namespace gbgreg::jail

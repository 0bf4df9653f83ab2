// Images to pixels, by libvips; and pixels to a PNG. libvips never starts a thread here: everything is asked of it
// strip by strip on the caller's own. One thread.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "intake/image_kind.h"
#include "look_pixels.h"

namespace gbgreg::jail {

// Starts libvips, without the modules that it loads (ImageMagick, PDF, HEIF …), its caches and the code that it makes
// as it runs, and with every loader blocked but ours. Once, before the cage is locked; false when libvips does not
// start.
bool start_decoding();

// The image (the first frame of several) as whoever made it meant it to be seen: upright by its EXIF orientation, in
// sRGB, what is transparent in it upon white; three bands. Nothing but the pixels comes out. Every pixel has been read,
// so what is cut short or does not hold together is damaged. Errors: damaged, too large.
Looked<Pixels> decode(std::span<const std::uint8_t> file, intake::ImageKind kind, const intake::ImageLimits& limits);

// What a model is shown: no side is longer. Errors: damaged (a lack of memory too).
Looked<Pixels> shrink_to_show(const Pixels& image, std::uint32_t side_max);

// In grey, and as large as text is read best: small ones enlarged, large ones shrunk.
Looked<Pixels> scale_to_read(const Pixels& image);

// Errors: as above.
Looked<std::string> to_png(const Pixels& image);

}  // namespace gbgreg::jail

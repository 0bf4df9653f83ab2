// Which kind of image a file is, by its own first bytes and nothing else: neither its name nor what its sender says.
// Only what jail/look.cc decodes; an SVG is a program that draws, and no image here. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gbgreg::intake {

enum class ImageKind : std::uint8_t { png, jpeg, webp, gif, bmp };

// How much of the file's front is needed.
inline constexpr std::size_t kImageFrontBytes = 18;

// Empty for anything else. A right front does not make an image: whether it decodes is known in the jail.
std::optional<ImageKind> image_kind(std::string_view front);

}  // namespace gbgreg::intake

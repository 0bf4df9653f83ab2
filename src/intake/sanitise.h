// A client's name for a file becomes one that is safe to show, to save under and to put into a header. The name is
// never used as a path here; this is for the people and programs that will use it as one. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gbgreg::intake {

inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kOriginalNameBytesMax = 1024;
// What follows the last dot is kept when a name is cut, up to this length.
inline constexpr std::size_t kExtensionBytesMax = 32;

// The last component of the name as valid UTF-8 of 1 to 255 bytes, in Unicode's composed form (NFC): without control,
// formatting and direction characters, separators, and what Windows does not take in a name (its reserved characters,
// device names, trailing dots). Never ".", ".." or empty: such a name becomes "upload".
std::string safe_filename(std::string_view name);

// The name as data: valid UTF-8 without NUL, at most 1024 bytes, else as it came.
std::string original_filename(std::string_view name);

// A character that nobody sees: controls, direction overrides, invisible formatting and the like.
bool is_invisible(char32_t value);

// A to Z become a to z; everything else stays.
std::string lower(std::string_view text);

// ".tar.gz" gives "gz"; lower case; empty when there is none. ".bashrc" has none.
std::string extension_of(std::string_view filename);

}  // namespace gbgreg::intake

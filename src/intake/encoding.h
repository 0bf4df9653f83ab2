// Text in other encodings than UTF-8 becomes UTF-8, for those who read it: what is stored stays as it came. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::intake {

// Whether the bytes are all of a file, or its front, which may end within a character.
enum class Extent : std::uint8_t { whole, front };

// The text that the bytes are, without its byte order mark: UTF-8; UTF-16, of which only the mark tells; else one byte
// a character, read as Windows-1252, of which Latin-1's letters are a part. Half a surrogate pair becomes U+FFFD.
// Absent when they are no text: a NUL, or another control character that no text has.
std::optional<std::string> to_utf8(std::string_view bytes, Extent extent = Extent::whole);

// The bytes when they are UTF-8 themselves, without their mark and without the part of a last character of a front.
// Absent as above, and in any other encoding.
std::optional<std::string> as_utf8(std::string_view bytes, Extent extent = Extent::whole);

}  // namespace gbgreg::intake

// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gbgreg {

inline constexpr char32_t kReplacement = U'\uFFFD';

struct CodePoint {
  char32_t value = kReplacement;
  std::size_t bytes = 1;  // How many it took: of a broken sequence, those that cannot begin another one.
  bool is_valid = false;
};

// The code point at the front of a text that is not empty.
CodePoint first_code_point(std::string_view text);

void append_utf8(std::string& text, char32_t value);

bool is_valid_utf8(std::string_view text);

// True when `text` is valid, or would be with more bytes behind it: for the first part of a longer text.
bool begins_valid_utf8(std::string_view text);

// Adds `text` with every broken sequence as one U+FFFD.
void append_valid_utf8(std::string& out, std::string_view text);

// Every broken sequence and every NUL becomes U+FFFD.
std::string to_valid_utf8(std::string_view text);

// The longest front part of a valid text that has at most so many bytes and ends between two characters.
std::string_view cut_utf8(std::string_view text, std::size_t bytes_max);

}  // namespace gbgreg

// The small words of HTTP's grammar (RFC 9110, 5.6), for every parser of heads, chunks and forms. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gbgreg::net {

// One or more of the characters that a method or a field's name may have.
bool is_token(std::string_view text);

// Without blanks and tabs at both ends.
std::string_view trim_blanks(std::string_view text);

// 0 to 15, or -1 when `c` is no hexadecimal digit.
int hex_digit(char c);

// 1*DIGIT that fits into 64 bits; absent for anything else.
std::optional<std::uint64_t> parse_decimal(std::string_view text);

}  // namespace gbgreg::net

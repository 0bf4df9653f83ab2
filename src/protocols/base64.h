// Base64 with padding (RFC 4648, section 4), strictly. Pure.
#pragma once

#include <string>
#include <string_view>

namespace gbgreg::protocols {

// Not empty, padded, nothing else in it, and no bits that padding cuts off.
bool is_base64(std::string_view text);

// The bytes of a text that is_base64().
std::string from_base64(std::string_view text);

void append_base64(std::string& out, std::string_view bytes);

}  // namespace gbgreg::protocols

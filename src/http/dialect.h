// In whose words a route speaks, which decides how its errors are said. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/core.h"

namespace gbgreg::http {

enum class Dialect : std::uint8_t { native, ollama, openai, anthropic };

// The dialect of a path that is no route, or whose method is wrong: by its beginning.
Dialect dialect_of(std::string_view path);

// The body of an error, in JSON.
std::string write_error(Dialect dialect, const Error& error, std::string_view request_id);

}  // namespace gbgreg::http

// What the query of an address says: texts and whole numbers, as lists take them. Pure; any thread.
//
// Errors are malformed: what net::query_parameter says of the escapes, and NAME_malformed.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace gbgreg::http {

// Without escapes; `otherwise` where there is none of that name.
Result<std::string> query_text(std::string_view query, std::string_view name, std::string_view otherwise = {});
Result<int> query_number(std::string_view query, std::string_view name, int otherwise);

// The number that is the whole of a parameter's text.
Result<int> whole_number(std::string_view text, std::string_view name);

}  // namespace gbgreg::http

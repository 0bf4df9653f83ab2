#include "storage/columns.h"

#include <algorithm>
#include <iterator>

#include "core/ids.h"

namespace gbgreg::storage {

std::string cursor_after(std::string_view id) {
  std::string cursor = "u1";
  std::ranges::copy_if(id, std::back_inserter(cursor), [](char c) { return c != '-'; });
  return cursor;
}

std::optional<std::string> id_in(std::string_view cursor) {
  if (!cursor.starts_with("u1") || cursor.size() != 34) return std::nullopt;
  std::string id;
  for (const char digit : cursor.substr(2)) {
    if (id.size() == 8 || id.size() == 13 || id.size() == 18 || id.size() == 23) id.push_back('-');
    id.push_back(digit);
  }
  if (!is_uuid(id)) return std::nullopt;
  return id;
}

std::string containing(std::string_view text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '!') pattern.push_back('!');
    pattern.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return pattern + "%";
}

}  // namespace gbgreg::storage

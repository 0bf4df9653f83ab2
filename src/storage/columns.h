// Columns that may be NULL, as SOCI binds and reads them. For the stores of this room only.
#pragma once

#include <soci/soci.h>

#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::storage {

// SOCI binds a value and an indicator beside it; this keeps the two together.
struct Nullable {
  explicit Nullable(const std::optional<std::string>& text = std::nullopt) { set(text); }
  void set(const std::optional<std::string>& text) {
    value = text.value_or("");
    indicator = text ? soci::i_ok : soci::i_null;
  }
  std::string value;
  soci::indicator indicator = soci::i_null;
};

inline std::optional<std::string> optional_text(const soci::row& row, const std::string& column) {
  if (row.get_indicator(column) == soci::i_null) return std::nullopt;
  return row.get<std::string>(column);
}

// A page ends at an id, and the next one begins below it. Its form is nobody's business but ours.
std::string cursor_after(std::string_view id);
std::optional<std::string> id_in(std::string_view cursor);

// The pattern of LIKE that finds `text` itself anywhere in what lower() makes of a column, with '!' as its escape. It
// is in lower case here and not by the database, which would know letters beyond ASCII for a value but not for a
// column.
std::string containing(std::string_view text);

}  // namespace gbgreg::storage

#include "http/query.h"

#include <charconv>
#include <utility>

#include "net/http_head.h"

namespace gbgreg::http {

Result<std::string> query_text(std::string_view query, std::string_view name, std::string_view otherwise) {
  auto text = net::query_parameter(query, name);
  if (!text) return std::unexpected(std::move(text.error()));
  return std::move(*text).value_or(std::string(otherwise));
}

Result<int> query_number(std::string_view query, std::string_view name, int otherwise) {
  const auto text = net::query_parameter(query, name);
  if (!text) return std::unexpected(text.error());
  return *text ? whole_number(**text, name) : otherwise;
}

Result<int> whole_number(std::string_view text, std::string_view name) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return number;
  return fail(Kind::malformed, std::string(name) + "_malformed", std::string(name) + " must be a whole number.");
}

}  // namespace gbgreg::http

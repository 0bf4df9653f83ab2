#include "intake/encoding.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/utf8.h"

namespace gbgreg::intake {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";
constexpr std::string_view kUtf16LittleMark = "\xFF\xFE";
constexpr std::string_view kUtf16BigMark = "\xFE\xFF";

// What Windows-1252 has where Latin-1 has controls; the five places that it leaves empty stay controls, as the web
// reads them.
constexpr std::array<char16_t, 32> kWindows1252 = {
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178,
};

bool is_odd_control(char32_t value) {
  return value < 0x20 && !std::string_view("\t\n\v\f\r\b\x1b").contains(static_cast<char>(value));
}

bool has_odd_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return is_odd_control(static_cast<unsigned char>(c)); });
}

// A front may end within a character: without that character.
std::string_view without_broken_end(std::string_view text) {
  std::size_t last = text.size();
  while (last > 0 && (static_cast<unsigned char>(text[last - 1]) & 0xC0U) == 0x80) --last;
  if (last == 0) return text;
  --last;
  return first_code_point(text.substr(last)).is_valid ? text : text.substr(0, last);
}

enum class ByteOrder : std::uint8_t { little, big };

char32_t unit_at(std::string_view bytes, std::size_t at, ByteOrder order) {
  const auto first = static_cast<unsigned char>(bytes[at]);
  const auto second = static_cast<unsigned char>(bytes[at + 1]);
  return order == ByteOrder::little ? static_cast<char32_t>(second << 8U | first)
                                    : static_cast<char32_t>(first << 8U | second);
}

std::optional<std::string> from_utf16(std::string_view bytes, ByteOrder order, Extent extent) {
  if (bytes.size() % 2 != 0) {
    if (extent == Extent::whole) return std::nullopt;
    bytes.remove_suffix(1);
  }
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size(); at += 2) {
    char32_t value = unit_at(bytes, at, order);
    const bool is_high = value >= 0xD800 && value < 0xDC00;
    if (is_high && at + 2 >= bytes.size() && extent == Extent::front) break;
    const char32_t next = is_high && at + 2 < bytes.size() ? unit_at(bytes, at + 2, order) : 0;
    if (is_high && next >= 0xDC00 && next < 0xE000) {
      value = 0x10000 + ((value - 0xD800) << 10U) + (next - 0xDC00);
      at += 2;
    } else if (value >= 0xD800 && value < 0xE000) {
      value = kReplacement;
    }
    if (is_odd_control(value)) return std::nullopt;
    append_utf8(text, value);
  }
  return text;
}

std::string from_windows_1252(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 8);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    append_utf8(text, byte >= 0x80 && byte < 0xA0 ? kWindows1252[byte - 0x80U] : byte);
  }
  return text;
}

}  // namespace

std::optional<std::string> as_utf8(std::string_view bytes, Extent extent) {
  if (bytes.starts_with(kUtf8Mark)) bytes.remove_prefix(kUtf8Mark.size());
  if (has_odd_control(bytes)) return std::nullopt;
  if (extent == Extent::front && begins_valid_utf8(bytes)) bytes = without_broken_end(bytes);
  if (!is_valid_utf8(bytes)) return std::nullopt;
  return std::string(bytes);
}

std::optional<std::string> to_utf8(std::string_view bytes, Extent extent) {
  if (bytes.starts_with(kUtf16LittleMark)) return from_utf16(bytes.substr(2), ByteOrder::little, extent);
  if (bytes.starts_with(kUtf16BigMark)) return from_utf16(bytes.substr(2), ByteOrder::big, extent);
  if (auto text = as_utf8(bytes, extent)) return text;
  if (has_odd_control(bytes)) return std::nullopt;
  return from_windows_1252(bytes);
}

}  // namespace gbgreg::intake

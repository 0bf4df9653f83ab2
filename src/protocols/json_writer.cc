#include "protocols/json_writer.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "core/utf8.h"

namespace gbgreg::protocols {
namespace {

constexpr bool must_escape(unsigned char byte) { return byte < 0x20 || byte == '"' || byte == '\\'; }

// Marks, in eight bytes at once, those that must be escaped: below 0x20, or one of the two signs. The lowest mark is
// exact; above it there may be false ones, since borrows run upwards.
std::uint64_t escape_marks(std::uint64_t bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
  const auto has_zero = [](std::uint64_t value) { return (value - kOnes) & ~value; };
  const std::uint64_t control = (bytes - kOnes * 0x20) & ~bytes;
  const std::uint64_t quote = has_zero(bytes ^ (kOnes * '"'));
  const std::uint64_t backslash = has_zero(bytes ^ (kOnes * '\\'));
  return (control | quote | backslash) & kHighs;
}

void append_escape(std::string& out, unsigned char byte) {
  switch (byte) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    default:
      break;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  out += "\\u00";
  out += kHex[byte >> 4U];
  out += kHex[byte & 0xFU];
}

void append_escaped(std::string& out, std::string_view text) {
  std::size_t copied = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    if (std::endian::native == std::endian::little && at + sizeof(std::uint64_t) <= text.size()) {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, text.data() + at, sizeof bytes);
      const std::uint64_t marks = escape_marks(bytes);
      at += static_cast<std::size_t>(std::countr_zero(marks)) / 8;
      if (marks == 0) continue;
    }
    const auto byte = static_cast<unsigned char>(text[at]);
    if (must_escape(byte)) {
      out.append(text, copied, at - copied);
      append_escape(out, byte);
      copied = at + 1;
    }
    ++at;
  }
  out.append(text, copied);
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  if (is_valid_utf8(text)) {
    append_escaped(out, text);
  } else {
    std::string repaired;
    repaired.reserve(text.size() + 16);
    append_valid_utf8(repaired, text);
    append_escaped(out, repaired);
  }
  out += '"';
}

void JsonWriter::begin_value() {
  if (comma_) out_ += ',';
  comma_ = true;
}

JsonWriter& JsonWriter::open_object() {
  begin_value();
  out_ += '{';
  comma_ = false;
  return *this;
}

void JsonWriter::close_object() {
  out_ += '}';
  comma_ = true;
}

JsonWriter& JsonWriter::open_array() {
  begin_value();
  out_ += '[';
  comma_ = false;
  return *this;
}

void JsonWriter::close_array() {
  out_ += ']';
  comma_ = true;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  begin_value();
  out_ += '"';
  out_ += name;
  out_ += "\":";
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::text_key(std::string_view name) {
  begin_value();
  append_json_text(out_, name);
  out_ += ':';
  comma_ = false;
  return *this;
}

void JsonWriter::text(std::string_view value) {
  begin_value();
  append_json_text(out_, value);
}

void JsonWriter::number(std::int64_t value) {
  begin_value();
  std::array<char, 24> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out_.append(digits.data(), written.ptr);
}

void JsonWriter::number(double value) {
  if (!std::isfinite(value)) return null();
  begin_value();
  std::array<char, 40> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out_.append(digits.data(), written.ptr);
}

void JsonWriter::rounded(double value) {
  // Beyond this a double has no thousandths.
  if (!(std::fabs(value) < 1e12)) return number(value);
  number(std::round(value * 1000) / 1000 + 0.0);  // + 0.0: no "-0".
}

void JsonWriter::boolean(bool value) {
  begin_value();
  out_ += value ? "true" : "false";
}

void JsonWriter::null() {
  begin_value();
  out_ += "null";
}

void JsonWriter::raw(std::string_view json) {
  begin_value();
  out_ += json;
}

void JsonWriter::number_or_null(const std::optional<double>& value) {
  if (value) {
    number(*value);
  } else {
    null();
  }
}

void JsonWriter::rounded_or_null(const std::optional<double>& value) {
  if (value) {
    rounded(*value);
  } else {
    null();
  }
}

}  // namespace gbgreg::protocols

#include "core/utf8.h"

#include <simdjson.h>

namespace gbgreg {
namespace {

// What a lead byte promises: how many bytes follow and between which bounds the first of them lies. The bounds are what
// rules out overlong forms, surrogates and values above U+10FFFF (Unicode, table 3-7).
struct Lead {
  std::size_t following = 0;
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xbf;
  bool is_lead = true;
};

Lead lead(unsigned char byte) {
  if (byte < 0x80) return {};
  if (byte < 0xc2 || byte > 0xf4) return {.is_lead = false};
  if (byte < 0xe0) return {.following = 1};
  if (byte == 0xe0) return {.following = 2, .second_min = 0xa0};
  if (byte == 0xed) return {.following = 2, .second_max = 0x9f};
  if (byte < 0xf0) return {.following = 2};
  if (byte == 0xf0) return {.following = 3, .second_min = 0x90};
  if (byte == 0xf4) return {.following = 3, .second_max = 0x8f};
  return {.following = 3};
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

CodePoint first_code_point(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const Lead promised = lead(first);
  if (!promised.is_lead) return {};
  if (promised.following == 0) return {.value = first, .bytes = 1, .is_valid = true};

  char32_t value = first & (0x3fU >> promised.following);
  for (std::size_t i = 1; i <= promised.following; ++i) {
    const auto byte = i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
    const unsigned char min = i == 1 ? promised.second_min : 0x80;
    const unsigned char max = i == 1 ? promised.second_max : 0xbf;
    if (byte < min || byte > max) return {.bytes = i};
    value = (value << 6) | (byte & 0x3fU);
  }
  return {.value = value, .bytes = promised.following + 1, .is_valid = true};
}

void append_utf8(std::string& text, char32_t value) {
  const auto add = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    add(value);
  } else if (value < 0x800) {
    add(0xc0 | (value >> 6));
    add(0x80 | (value & 0x3f));
  } else if (value < 0x10000) {
    add(0xe0 | (value >> 12));
    add(0x80 | ((value >> 6) & 0x3f));
    add(0x80 | (value & 0x3f));
  } else {
    add(0xf0 | (value >> 18));
    add(0x80 | ((value >> 12) & 0x3f));
    add(0x80 | ((value >> 6) & 0x3f));
    add(0x80 | (value & 0x3f));
  }
}

bool is_valid_utf8(std::string_view text) { return simdjson::validate_utf8(text); }

bool begins_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    // A sequence that broke only because the text ended took all that was left of it.
    if (!next.is_valid) return lead(static_cast<unsigned char>(text.front())).is_lead && next.bytes == text.size();
    text.remove_prefix(next.bytes);
  }
  return true;
}

void append_valid_utf8(std::string& out, std::string_view text) {
  if (is_valid_utf8(text)) {
    out.append(text);
    return;
  }
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    if (next.is_valid) {
      out.append(text.substr(0, next.bytes));
    } else {
      append_utf8(out, kReplacement);
    }
    text.remove_prefix(next.bytes);
  }
}

std::string to_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    append_utf8(valid, next.value == 0 ? kReplacement : next.value);
    text.remove_prefix(next.bytes);
  }
  return valid;
}

std::string_view cut_utf8(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  while (end > 0 && is_continuation(text[end])) --end;
  return text.substr(0, end);
}

}  // namespace gbgreg

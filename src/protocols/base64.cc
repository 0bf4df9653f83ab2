#include "protocols/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace gbgreg::protocols {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(0xFF);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr auto kValues = make_values();

std::uint32_t byte_at(std::string_view bytes, std::size_t at) {
  return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0;
}

}  // namespace

bool is_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return false;
  std::size_t padding = 0;
  while (padding < 2 && text.back() == '=') {
    text.remove_suffix(1);
    ++padding;
  }
  std::uint8_t seen = 0;
  for (const char byte : text) seen |= kValues[static_cast<unsigned char>(byte)];
  if ((seen & 0xC0U) != 0) return false;
  // The bits that padding cuts off must be zero, or two texts would mean the same image.
  const std::uint8_t last = kValues[static_cast<unsigned char>(text.back())];
  if (padding == 1) return (last & 0x3U) == 0;
  if (padding == 2) return (last & 0xFU) == 0;
  return true;
}

std::string from_base64(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t at = 0; at + 4 <= text.size(); at += 4) {
    std::uint32_t bits = 0;
    for (const char character : text.substr(at, 4)) {
      bits = bits << 6U | (kValues[static_cast<unsigned char>(character)] & 0x3FU);
    }
    for (const unsigned shift : {16U, 8U, 0U}) bytes += static_cast<char>(bits >> shift & 0xFFU);
  }
  for (; !bytes.empty() && text.ends_with('='); text.remove_suffix(1)) bytes.pop_back();
  return bytes;
}

void append_base64(std::string& out, std::string_view bytes) {
  out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::uint32_t bits = byte_at(bytes, at) << 16U | byte_at(bytes, at + 1) << 8U | byte_at(bytes, at + 2);
    for (const unsigned shift : {18U, 12U, 6U, 0U}) out += kAlphabet[bits >> shift & 0x3FU];
    const std::size_t missing = at + 3 > bytes.size() ? at + 3 - bytes.size() : 0;
    out.replace(out.size() - missing, missing, missing, '=');
  }
}

}  // namespace gbgreg::protocols

#include "core/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace gbgreg {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

void fill_random(void* out, std::size_t size) {
  auto* bytes = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = getrandom(bytes, size, 0);
    if (got < 0) throw std::runtime_error("getrandom failed");
    bytes += got;
    size -= static_cast<std::size_t>(got);
  }
}

// Ids need to be unique, not secret: some of the kernel's random bits at a time cost hardly a system call an id.
std::uint64_t random_bits() {
  thread_local std::array<std::uint64_t, 32> bits{};
  thread_local std::size_t left = 0;
  if (left == 0) {
    fill_random(bits.data(), sizeof bits);
    left = bits.size();
  }
  return bits[--left];
}

constexpr std::uint64_t kVersion = 0x7000;  // Of the upper half.
constexpr std::uint64_t kVariant = 0x8000000000000000ULL;

std::uint64_t milliseconds_of(WallTime time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

std::string uuid_text(std::uint64_t high, std::uint64_t low) {
  std::array<char, 36> text{};
  char* end = text.data();
  const auto put = [&end](std::uint64_t bits, int nibbles) {
    for (int left = nibbles; left-- > 0;) *end++ = kHex[(bits >> (4 * left)) & 0xf];
  };
  put(high >> 32U, 8);
  *end++ = '-';
  put(high >> 16U, 4);
  *end++ = '-';
  put(high, 4);
  *end++ = '-';
  put(low >> 48U, 4);
  *end++ = '-';
  put(low, 12);
  return {text.data(), text.size()};
}

}  // namespace

std::string new_uuid(WallTime now) {
  const std::uint64_t high = (milliseconds_of(now) << 16) | kVersion | (random_bits() & 0x0fffU);
  return uuid_text(high, (random_bits() & 0x3fffffffffffffffULL) | kVariant);
}

// A time that comes again, or that is before the last, goes on counting from it (RFC 9562, 6.2).
std::string UuidSequence::next(WallTime now) {
  last_ = std::max(milliseconds_of(now) << 12, last_ + 1);
  const std::uint64_t high = ((last_ >> 12) << 16) | kVersion | (last_ & 0x0fffU);
  return uuid_text(high, (random_bits() & 0x3fffffffffffffffULL) | kVariant);
}

std::string first_uuid_of(WallTime time) { return uuid_text((milliseconds_of(time) << 16) | kVersion, kVariant); }

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return false;
    } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
      return false;
    }
  }
  return true;
}

bool is_valid_request_id(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  for (const char c : text) {
    const bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter_or_digit && c != '-' && c != '_' && c != '.' && c != ':') return false;
  }
  return true;
}

std::string random_hex(int bytes) {
  std::string raw(static_cast<std::size_t>(bytes), '\0');
  fill_random(raw.data(), raw.size());
  std::string text;
  text.reserve(raw.size() * 2);
  for (const char c : raw) {
    text.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
    text.push_back(kHex[static_cast<unsigned char>(c) & 0xf]);
  }
  return text;
}

}  // namespace gbgreg

#include "routing/byte_masks.h"

#include <algorithm>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace gbgreg::routing {
namespace {

#ifdef __SSE2__

using Bytes = __m128i;

Bytes equals(Bytes bytes, char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); }
Bytes either(Bytes a, Bytes b) { return _mm_or_si128(a, b); }
// Of `first` and the `more` that follow it.
Bytes within(Bytes bytes, char first, char more) {
  const Bytes above = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
  return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(more)), above);
}

// What `find` sets in four times sixteen bytes.
template <class Find>
std::uint64_t mask(const std::array<Bytes, 4>& block, Find find) {
  const auto bits = [&](std::size_t i) {
    return std::uint64_t{static_cast<std::uint16_t>(_mm_movemask_epi8(find(block[i])))} << (16 * i);
  };
  return (bits(0) | bits(1)) | (bits(2) | bits(3));
}

// Of 64 bytes.
ByteMasks mask_block(std::string_view bytes) {
  std::array<Bytes, 4> block{};
  for (std::size_t i = 0; i < 4; ++i) block[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&bytes[16 * i]));
  const auto all_of = [&](char c) { return mask(block, [c](Bytes piece) { return equals(piece, c); }); };
  ByteMasks masks{};
  masks.digit = mask(block, [](Bytes piece) { return within(piece, '0', 9); });
  masks.alnum =
      masks.digit | mask(block, [](Bytes piece) { return within(either(piece, _mm_set1_epi8(0x20)), 'a', 25); });
  masks.underscore = all_of('_');
  masks.tie = mask(block, [](Bytes piece) { return either(equals(piece, '\''), equals(piece, '-')); });
  masks.dot = all_of('.');
  masks.stop = masks.dot | mask(block, [](Bytes piece) { return either(equals(piece, '!'), equals(piece, '?')); });
  masks.colon = all_of(':');
  masks.space = all_of(' ');
  masks.line_feed = all_of('\n');
  masks.blank = masks.space | masks.line_feed |
                mask(block, [](Bytes piece) { return either(equals(piece, '\t'), equals(piece, '\r')); });
  masks.foreign = mask(block, [](Bytes piece) { return piece; });
  if (masks.foreign != 0) {
    const Bytes first_lead = _mm_set1_epi8(static_cast<char>(0xC0));
    masks.continuation = mask(block, [first_lead](Bytes piece) { return _mm_cmplt_epi8(piece, first_lead); });
  }
  return masks;
}

#else

// Of 64 bytes.
ByteMasks mask_block(std::string_view block) {
  ByteMasks masks{};
  for (unsigned at = 0; at < 64; ++at) {
    const char c = block[at];
    const auto byte = static_cast<unsigned char>(c);
    const std::uint64_t bit = std::uint64_t{1} << at;
    const auto set = [bit](std::uint64_t& mask, bool is) { mask |= is ? bit : 0; };
    const bool is_digit = c >= '0' && c <= '9';
    set(masks.digit, is_digit);
    set(masks.alnum, is_digit || ((byte | 0x20U) >= 'a' && (byte | 0x20U) <= 'z'));
    set(masks.underscore, c == '_');
    set(masks.tie, c == '\'' || c == '-');
    set(masks.dot, c == '.');
    set(masks.stop, c == '.' || c == '!' || c == '?');
    set(masks.colon, c == ':');
    set(masks.space, c == ' ');
    set(masks.line_feed, c == '\n');
    set(masks.blank, c == ' ' || c == '\t' || c == '\r' || c == '\n');
    set(masks.foreign, byte >= 0x80);
    set(masks.continuation, (byte & 0xC0U) == 0x80U);
  }
  return masks;
}

#endif

}  // namespace

ByteMasks mask_bytes(std::string_view text) {
  if (text.size() >= 64) return mask_block(text.substr(0, 64));
  std::array<char, 64> block{};
  std::ranges::copy(text, block.begin());
  return mask_block(std::string_view(block.data(), block.size()));
}

}  // namespace gbgreg::routing

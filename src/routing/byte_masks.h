// Which bytes of a text are what, 64 to a word of bits: bit i of block b stands for byte 64 * b + i. Pure.
//
// A text is looked at once, and what is counted or looked for is then a matter of a few words of bits, not of every
// byte again. Any bytes will do; those behind the end of the text are nothing.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gbgreg::routing {

// Nothing is set before mask_bytes() has: there are as many as the longest text needs, and most texts are short.
struct ByteMasks {
  std::uint64_t alnum, digit, underscore;
  std::uint64_t tie;               // ' and -, which hold a word together.
  std::uint64_t dot, stop, colon;  // A stop is one of . ! ?
  std::uint64_t space, line_feed;
  std::uint64_t blank;         // These two, a tab or a carriage return.
  std::uint64_t foreign;       // 0x80 and above …
  std::uint64_t continuation;  // … of which these do not begin a character.
};

// Of the first 64 bytes, or of all when there are fewer.
ByteMasks mask_bytes(std::string_view text);

template <std::size_t BytesMax>
class TextMasks {
 public:
  // `text` has at most BytesMax bytes.
  explicit TextMasks(std::string_view text) {
    for (; !text.empty(); text.remove_prefix(text.size() < 64 ? text.size() : 64)) blocks_[count_++] = mask_bytes(text);
  }
  std::size_t count() const { return count_; }
  const ByteMasks& operator[](std::size_t block) const { return blocks_[block]; }
  bool any(std::uint64_t ByteMasks::* mask) const {
    std::uint64_t all = 0;
    for (std::size_t block = 0; block < count_; ++block) all |= blocks_[block].*mask;
    return all != 0;
  }

 private:
  static constexpr std::size_t kBlocksMax = (BytesMax + 63) / 64;
  std::array<ByteMasks, kBlocksMax> blocks_;  // Only the first `count_` are set.
  std::size_t count_ = 0;
};

// Calls use(i) for each bit that is set, from the lowest.
template <class Use>
void for_each_bit(std::uint64_t bits, Use use) {
  for (; bits != 0; bits &= bits - 1) use(static_cast<std::size_t>(std::countr_zero(bits)));
}

}  // namespace gbgreg::routing

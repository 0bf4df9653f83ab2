// A small fixed set of byte strings, asked of every place of a text: "does one of you begin here?" Pure.
//
// Almost every place is turned away by its first two bytes. Made at compile time, so asking needs no start-up.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gbgreg::routing {

// The first two bytes of what is looked for, in a table of bits: most places of a text are turned away by one look.
// Bytes that differ only in their highest bit share their place, so it may let too much pass and never too little.
class Beginnings {
 public:
  constexpr void add(std::string_view text) {
    const std::size_t bit = place(text);
    bits_[bit / 64U] |= std::uint64_t{1} << (bit % 64U);
  }
  // Of at least two bytes.
  constexpr bool may_have(std::string_view text) const {
    const std::size_t bit = place(text);
    return ((bits_[bit / 64U] >> (bit % 64U)) & 1U) != 0;
  }

 private:
  static constexpr std::size_t place(std::string_view text) {
    return ((static_cast<unsigned char>(text[0]) & 127U) << 7U) | (static_cast<unsigned char>(text[1]) & 127U);
  }
  std::array<std::uint64_t, 256> bits_{};
};

// Each pattern has at least two bytes.
template <std::size_t N>
class Patterns {
 public:
  consteval explicit Patterns(const std::array<std::string_view, N>& patterns) : patterns_(patterns) {
    std::ranges::sort(patterns_);
    for (const std::string_view pattern : patterns_) beginnings_.add(pattern);
    std::size_t at = 0;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      starts_[byte] = static_cast<std::uint16_t>(at);
      while (at < N && static_cast<unsigned char>(patterns_[at][0]) == byte) ++at;
    }
    starts_[256] = static_cast<std::uint16_t>(at);
  }

  // The first pattern that `text` begins with, by its number below N; N when there is none.
  constexpr std::size_t beginning(std::string_view text) const {
    if (text.size() < 2 || !beginnings_.may_have(text)) return N;
    const auto byte = static_cast<unsigned char>(text[0]);
    for (std::size_t i = starts_[byte]; i < starts_[byte + 1U]; ++i) {
      if (patterns_[i][1] == text[1] && text.starts_with(patterns_[i])) return i;
    }
    return N;
  }
  constexpr bool begins(std::string_view text) const { return beginning(text) != N; }

  // How many of the patterns occur, each counted once. Of two that begin at the same place only one is seen there.
  constexpr int occurring(std::string_view text) const {
    std::array<bool, N + 1> seen{};
    for (std::size_t at = 0; at + 1 < text.size(); ++at) seen[beginning(text.substr(at))] = true;
    return static_cast<int>(std::count(seen.begin(), seen.end() - 1, true));
  }

 private:
  std::array<std::string_view, N> patterns_;
  Beginnings beginnings_;
  std::array<std::uint16_t, 257> starts_{};
};

template <class... Texts>
consteval auto patterns(const Texts&... texts) {
  return Patterns<sizeof...(texts)>(std::array<std::string_view, sizeof...(texts)>{std::string_view(texts)...});
}

}  // namespace gbgreg::routing

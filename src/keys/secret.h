// The secret of a key: "gbg_", 43 letters and digits out of the kernel's randomness (256 bits), and six that are a
// checksum of them, so that a slip of the pen, or of the clipboard, is told without looking anything up.
//
// Whoever has it may use the key, so it is shown once, when it is made, and kept nowhere: what is kept is its SHA-256.
// There is nothing to stretch, as with a password: nobody guesses 256 random bits. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::keys {

inline constexpr std::size_t kSecretCharacters = 53;
inline constexpr std::size_t kShownCharacters = 8;  // In lists: enough for its owner to know it, and no help to guess.

using Hash = std::array<std::uint8_t, 32>;

std::string make_secret();

// Whether a secret can look like this: its form, and its checksum.
bool is_secret(std::string_view text);

// Allocates nothing after a thread's first.
Hash hash_of(std::string_view secret);

// 64 lower-case hexadecimal digits, and back.
std::string hex_of(const Hash& hash);
std::optional<Hash> hash_in(std::string_view hex);

}  // namespace gbgreg::keys

#include "keys/secret.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>

namespace gbgreg::keys {
namespace {

constexpr std::string_view kBegins = "gbg_";
constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kRandomCharacters = 43;  // log2(62) times 43 is 256.03 bits.
constexpr std::size_t kChecksumCharacters = 6;
static_assert(kBegins.size() + kRandomCharacters + kChecksumCharacters == kSecretCharacters);

constexpr std::array<bool, 256> kIsOurs = [] {
  std::array<bool, 256> is_ours{};
  for (const char c : kAlphabet) is_ours[static_cast<unsigned char>(c)] = true;
  return is_ours;
}();

// CRC-32 as in ISO 3309, by which any one wrong character and any two that changed places are found.
constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
    table[byte] = value;
  }
  return table;
}

std::uint32_t crc_of(std::string_view text) {
  static constexpr auto kTable = make_crc_table();
  std::uint32_t value = ~0U;
  for (const char c : text) value = (value >> 8) ^ kTable[(value ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~value;
}

std::array<char, kChecksumCharacters> checksum_of(std::string_view random) {
  std::array<char, kChecksumCharacters> digits{};
  std::uint32_t rest = crc_of(random);
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    *digit = kAlphabet[rest % kAlphabet.size()];
    rest /= kAlphabet.size();
  }
  return digits;
}

// Each character as likely as any other: bytes that would favour the first ones are thrown away.
std::string random_characters(std::size_t count) {
  constexpr std::size_t kFair = 256 / kAlphabet.size() * kAlphabet.size();
  std::string text;
  text.reserve(count);
  std::array<unsigned char, 64> bytes{};
  while (text.size() < count) {
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("the kernel gives no random bytes");
    }
    for (const unsigned char byte : bytes) {
      if (byte < kFair && text.size() < count) text.push_back(kAlphabet[byte % kAlphabet.size()]);
    }
  }
  return text;
}

struct Free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
};

// Looked up once: EVP_sha256() would be looked up again for each secret.
const EVP_MD* sha256() {
  static const std::unique_ptr<EVP_MD, Free> digest(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  if (!digest) throw std::runtime_error("the crypto library has no SHA-256");
  return digest.get();
}

}  // namespace

std::string make_secret() {
  const std::string random = random_characters(kRandomCharacters);
  const auto checksum = checksum_of(random);
  return std::string(kBegins).append(random).append(checksum.data(), checksum.size());
}

bool is_secret(std::string_view text) {
  if (text.size() != kSecretCharacters || !text.starts_with(kBegins)) return false;
  const std::string_view random = text.substr(kBegins.size(), kRandomCharacters);
  const std::string_view checksum = text.substr(kBegins.size() + kRandomCharacters);
  const auto is_ours = [](char c) { return kIsOurs[static_cast<unsigned char>(c)]; };
  return std::ranges::all_of(random, is_ours) && std::ranges::equal(checksum, checksum_of(random));
}

Hash hash_of(std::string_view secret) {
  thread_local const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  Hash hash{};
  const bool is_done = context && EVP_DigestInit_ex2(context.get(), sha256(), nullptr) == 1 &&
                       EVP_DigestUpdate(context.get(), secret.data(), secret.size()) == 1 &&
                       EVP_DigestFinal_ex(context.get(), hash.data(), nullptr) == 1;
  if (!is_done) throw std::bad_alloc();
  return hash;
}

std::string hex_of(const Hash& hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * hash.size());
  for (const std::uint8_t byte : hash) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 0xF]);
  }
  return hex;
}

std::optional<Hash> hash_in(std::string_view hex) {
  Hash hash{};
  if (hex.size() != 2 * hash.size()) return std::nullopt;
  const auto value = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const int high = value(hex[2 * i]), low = value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    hash[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return hash;
}

}  // namespace gbgreg::keys

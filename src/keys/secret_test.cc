#include "keys/secret.h"

#include <gtest/gtest.h>

#include <set>

namespace gbgreg::keys {
namespace {

TEST(Secret, IsAnotherEachTimeAndKnownByItsForm) {
  std::set<std::string> made;
  for (int i = 0; i < 1000; ++i) {
    const std::string secret = make_secret();
    EXPECT_TRUE(is_secret(secret)) << secret;
    EXPECT_TRUE(made.insert(secret).second);
  }
}

TEST(Secret, OneWrongCharacterOrTwoThatChangedPlacesAreFound) {
  const std::string secret = make_secret();
  for (std::size_t i = 0; i < secret.size(); ++i) {
    std::string wrong = secret;
    wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(is_secret(wrong)) << i;
    if (i == 0 || secret[i] == secret[i - 1]) continue;
    std::string turned = secret;
    std::swap(turned[i], turned[i - 1]);
    EXPECT_FALSE(is_secret(turned)) << i;
  }
}

TEST(Secret, NothingElseLooksLikeOne) {
  const std::string secret = make_secret();
  const std::string cases[] = {"",
                               "gbg_",
                               "none",
                               "sk-proj-" + secret,
                               " " + secret,
                               secret + " ",
                               secret + "0",
                               secret.substr(1),
                               secret.substr(0, 52),
                               "gbg_" + std::string(49, '0'),
                               "gbg_" + std::string(49, '\0'),
                               "gbg_" + std::string(49, '\xff')};
  for (const std::string& text : cases) EXPECT_FALSE(is_secret(text)) << text;
}

// The vector of FIPS 180-2.
TEST(Secret, IsKeptAsItsSha256) {
  const Hash hash = hash_of("abc");
  const std::string hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(hex_of(hash), hex);
  EXPECT_EQ(hash_in(hex), hash);
  EXPECT_EQ(hex_of(hash_of("abc")), hex) << "a second one of the same thread";
}

TEST(Secret, AHashIsReadBackFromSixtyFourDigitsOnly) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(hash_in(hex));
  for (const std::string& text :
       {std::string(), hex + "a", hex.substr(1), std::string(64, 'A'), std::string(64, 'g')}) {
    EXPECT_FALSE(hash_in(text)) << text;
  }
}

}  // namespace
}  // namespace gbgreg::keys

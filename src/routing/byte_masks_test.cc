#include "routing/byte_masks.h"

#include <gtest/gtest.h>

#include <cctype>
#include <random>
#include <string>

namespace gbgreg::routing {
namespace {

bool bit(std::uint64_t bits, std::size_t at) { return ((bits >> at) & 1U) != 0; }

// What the words of bits say of one byte, and what is so.
void expect_right(const ByteMasks& masks, std::size_t at, char c) {
  const auto byte = static_cast<unsigned char>(c);
  EXPECT_EQ(bit(masks.alnum, at), byte < 0x80 && std::isalnum(byte) != 0);
  EXPECT_EQ(bit(masks.digit, at), byte < 0x80 && std::isdigit(byte) != 0);
  EXPECT_EQ(bit(masks.underscore, at), c == '_');
  EXPECT_EQ(bit(masks.tie, at), c == '\'' || c == '-');
  EXPECT_EQ(bit(masks.dot, at), c == '.');
  EXPECT_EQ(bit(masks.stop, at), c == '.' || c == '!' || c == '?');
  EXPECT_EQ(bit(masks.colon, at), c == ':');
  EXPECT_EQ(bit(masks.space, at), c == ' ');
  EXPECT_EQ(bit(masks.line_feed, at), c == '\n');
  EXPECT_EQ(bit(masks.blank, at), c == ' ' || c == '\n' || c == '\t' || c == '\r');
  EXPECT_EQ(bit(masks.foreign, at), byte >= 0x80);
  EXPECT_EQ(bit(masks.continuation, at), byte >= 0x80 && byte < 0xC0);
}

TEST(MaskBytes, TellsEveryByteAtEveryPlace) {
  for (std::size_t at = 0; at < 64; ++at) {
    for (int value = 0; value < 256; ++value) {
      SCOPED_TRACE("byte " + std::to_string(value) + " at " + std::to_string(at));
      std::string text(64, '\x01');
      text[at] = static_cast<char>(value);
      const ByteMasks masks = mask_bytes(text);
      expect_right(masks, at, text[at]);
      expect_right(masks, (at + 1) % 64, '\x01');
    }
  }
}

TEST(MaskBytes, SaysNothingOfWhatIsBehindTheEnd) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same in each run.
  for (std::size_t size = 1; size < 64; ++size) {
    std::string text(size, ' ');
    for (char& c : text) c = static_cast<char>(random());
    const ByteMasks masks = mask_bytes(text);
    for (std::size_t at = 0; at < size; ++at) expect_right(masks, at, text[at]);
    for (std::size_t at = size; at < 64; ++at) expect_right(masks, at, '\0');
  }
}

TEST(TextMasks, HaveABlockForEach64Bytes) {
  EXPECT_EQ(TextMasks<200>("").count(), 0U);
  EXPECT_EQ(TextMasks<200>(std::string(64, 'a')).count(), 1U);
  const TextMasks<200> masks(std::string(65, 'a') + "7");
  ASSERT_EQ(masks.count(), 2U);
  EXPECT_EQ(masks[0].alnum, ~std::uint64_t{0});
  EXPECT_EQ(masks[1].alnum, 3U);
  EXPECT_EQ(masks[1].digit, 2U);
  EXPECT_TRUE(masks.any(&ByteMasks::digit));
  EXPECT_FALSE(masks.any(&ByteMasks::foreign));
}

}  // namespace
}  // namespace gbgreg::routing

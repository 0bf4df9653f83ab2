#include "look_bmp.h"

#include <gtest/gtest.h>

#include <string>

namespace gbgreg::jail {
namespace {

using Bytes = std::vector<std::uint8_t>;

void put16(Bytes& bytes, std::uint32_t number) {
  bytes.push_back(static_cast<std::uint8_t>(number & 0xff));
  bytes.push_back(static_cast<std::uint8_t>(number >> 8 & 0xff));
}
void put32(Bytes& bytes, std::uint32_t number) {
  put16(bytes, number & 0xffff);
  put16(bytes, number >> 16);
}

struct Bmp {
  std::uint32_t header_bytes = 40;
  std::uint32_t width = 2;
  std::uint32_t height = 2;
  std::uint32_t planes = 1;
  std::uint32_t bits = 24;
  std::uint32_t compression = 0;
  std::uint32_t colours = 0;
  Bytes behind = {};  // The header's first 40 bytes: masks, a palette.
  Bytes rows = {};
};

Bytes file_of(const Bmp& bmp) {
  Bytes file = {'B', 'M'};
  const auto pixels_at = static_cast<std::uint32_t>(54 + bmp.behind.size());
  put32(file, pixels_at + static_cast<std::uint32_t>(bmp.rows.size()));
  put32(file, 0);
  put32(file, pixels_at);
  put32(file, bmp.header_bytes);
  put32(file, bmp.width);
  put32(file, bmp.height);
  put16(file, bmp.planes);
  put16(file, bmp.bits);
  put32(file, bmp.compression);
  put32(file, 0);
  put32(file, 0);
  put32(file, 0);
  put32(file, bmp.colours);
  put32(file, 0);
  file.insert(file.end(), bmp.behind.begin(), bmp.behind.end());
  file.insert(file.end(), bmp.rows.begin(), bmp.rows.end());
  return file;
}

// Two rows of two pixels, the lower one first, each row filled up to four bytes.
const Bytes kRows24 = {1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0};

Looked<Pixels> read(std::span<const std::uint8_t> file) { return read_bmp(file, {}); }

TEST(ReadBmp, TurnsBottomUpRowsOverAndBlueFirstAround) {
  const auto pixels = read(file_of({.rows = kRows24}));
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->width, 2U);
  EXPECT_EQ(pixels->height, 2U);
  EXPECT_EQ(pixels->bands, 3U);
  EXPECT_EQ(pixels->bytes, Bytes({9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4}));
}

TEST(ReadBmp, KeepsTopDownRowsAsTheyAre) {
  const auto pixels = read(file_of({.height = 0U - 2U, .rows = kRows24}));
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->bytes, Bytes({3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10}));
}

TEST(ReadBmp, PassesOverTheFourthByteOfAPlainPixel) {
  const auto pixels = read(file_of({.width = 1, .height = 1, .bits = 32, .rows = {1, 2, 3, 0}}));
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->bands, 3U);
  EXPECT_EQ(pixels->bytes, Bytes({3, 2, 1}));
}

TEST(ReadBmp, FollowsMasksOfAByteEach) {
  Bmp bmp{.header_bytes = 56, .width = 1, .height = 1, .bits = 32, .compression = 3, .rows = {1, 2, 3, 4}};
  for (const std::uint32_t mask : {0xffU, 0xff00U, 0xff0000U, 0xff000000U}) put32(bmp.behind, mask);
  const auto pixels = read(file_of(bmp));
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->bands, 4U);
  EXPECT_EQ(pixels->bytes, Bytes({1, 2, 3, 4}));
}

TEST(ReadBmp, LooksColoursUp) {
  const Bytes palette = {10, 20, 30, 0, 40, 50, 60, 0};
  const Bytes first = {30, 20, 10}, second = {60, 50, 40};
  struct Case {
    std::uint32_t bits;
    Bytes row;
  };
  for (const Case& c : {Case{1, {0x40, 0, 0, 0}}, Case{4, {0x01, 0, 0, 0}}, Case{8, {0, 1, 0, 0}}}) {
    SCOPED_TRACE(c.bits);
    const auto pixels = read(file_of({.height = 1, .bits = c.bits, .colours = 2, .behind = palette, .rows = c.row}));
    ASSERT_TRUE(pixels);
    EXPECT_EQ(pixels->bytes, Bytes({30, 20, 10, 60, 50, 40}));
  }
}

TEST(ReadBmp, AColourThatTheFileDoesNotHaveIsBlack) {
  const auto pixels =
      read(file_of({.width = 1, .height = 1, .bits = 8, .colours = 1, .behind = {9, 9, 9, 0}, .rows = {255, 0, 0, 0}}));
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->bytes, Bytes({0, 0, 0}));
}

TEST(ReadBmp, RefusesWhatDoesNotHoldTogether) {
  struct Case {
    const char* name;
    Bmp bmp;
    Refusal want;
  };
  Bytes bad_masks;
  for (const std::uint32_t mask : {0x7c00U, 0x3e0U, 0x1fU}) put32(bad_masks, mask);
  const Case cases[] = {
      {"no width", {.width = 0, .rows = kRows24}, kDamaged},
      {"no height", {.height = 0, .rows = kRows24}, kDamaged},
      {"a negative width", {.width = 0U - 2U, .rows = kRows24}, kDamaged},
      {"the lowest height there is", {.height = 0x80000000U, .rows = kRows24}, kTooLarge},
      {"a bomb", {.width = 30'000, .height = 30'000, .rows = kRows24}, kTooLarge},
      {"a side that is too long", {.width = 40'000, .height = 1, .rows = kRows24}, kTooLarge},
      {"fewer rows than it says", {.height = 3, .rows = kRows24}, kDamaged},
      {"planes", {.planes = 3, .rows = kRows24}, kDamaged},
      {"16 bits", {.bits = 16, .rows = kRows24}, kDamaged},
      {"no bits", {.bits = 0, .rows = kRows24}, kDamaged},
      {"65,535 bits", {.bits = 65'535, .rows = kRows24}, kDamaged},
      {"run lengths", {.bits = 8, .compression = 1, .behind = Bytes(1'024), .rows = kRows24}, kDamaged},
      {"a PNG inside", {.compression = 5, .rows = kRows24}, kDamaged},
      {"no palette", {.bits = 8, .rows = kRows24}, kDamaged},
      {"a palette of four billion", {.bits = 8, .colours = 0xffffffffU, .rows = kRows24}, kDamaged},
      {"masks of five bits", {.bits = 32, .compression = 3, .behind = bad_masks, .rows = kRows24}, kDamaged},
      {"no masks", {.width = 1, .height = 0, .bits = 32, .compression = 3}, kDamaged},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto pixels = read(file_of(c.bmp));
    ASSERT_FALSE(pixels);
    EXPECT_EQ(pixels.error().code, c.want.code);
  }
}

TEST(ReadBmp, RefusesAFileThatEndsAnywhere) {
  const Bytes whole = file_of({.rows = kRows24});
  ASSERT_TRUE(read(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(read(std::span(whole).first(size))) << size;
  }
}

TEST(ReadBmp, RefusesPixelsThatBeginElsewhere) {
  for (const std::uint8_t at : {0, 13, 255}) {
    Bytes file = file_of({.rows = kRows24});
    file[10] = at;
    EXPECT_FALSE(read(file)) << int{at};
  }
}

}  // namespace
}  // namespace gbgreg::jail

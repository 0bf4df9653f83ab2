#include "look_text.h"

#include <gtest/gtest.h>

namespace gbgreg::jail {
namespace {

TEST(TextReader, FindsNothingOnAnEmptyImage) {
  TextReader reader;
  ASSERT_TRUE(reader.is_ready());
  const Pixels white{.width = 200, .height = 100, .bands = 1, .bytes = std::vector<std::uint8_t>(20'000, 255)};
  EXPECT_EQ(reader.read(white), "");
  const Pixels dot{.width = 1, .height = 1, .bands = 1, .bytes = {0}};
  EXPECT_EQ(reader.read(dot), "");
}

TEST(TextReader, NoiseIsNoText) {
  TextReader reader;
  ASSERT_TRUE(reader.is_ready());
  Pixels noise{.width = 300, .height = 200, .bands = 1, .bytes = std::vector<std::uint8_t>(60'000)};
  std::uint32_t state = 1;
  for (std::uint8_t& byte : noise.bytes) {
    state = state * 1'664'525 + 1'013'904'223;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  EXPECT_LT(reader.read(noise).size(), 40U);
}

}  // namespace
}  // namespace gbgreg::jail

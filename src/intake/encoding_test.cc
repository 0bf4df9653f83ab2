#include "intake/encoding.h"

#include <gtest/gtest.h>

#include "core/utf8.h"

namespace gbgreg::intake {
namespace {

using namespace std::string_view_literals;

TEST(ToUtf8, ReadsTheEncodingsThatTextsComeIn) {
  struct Case {
    const char* name;
    std::string_view from, want;
  };
  const Case cases[] = {
      {"nothing", ""sv, ""sv},
      {"UTF-8", "h\xC3\xA9llo\n"sv, "h\xC3\xA9llo\n"sv},
      {"UTF-8 with a mark", "\xEF\xBB\xBFhi"sv, "hi"sv},
      {"UTF-16, little end first", "\xFF\xFEh\0\xE9\0\n\0"sv, "h\xC3\xA9\n"sv},
      {"UTF-16, big end first", "\xFE\xFF\0h\0\xE9"sv, "h\xC3\xA9"sv},
      {"UTF-16 with a pair", "\xFF\xFE\x3D\xD8\x00\xDE"sv, "\xF0\x9F\x98\x80"sv},
      {"UTF-16 with half a pair", "\xFF\xFE\x3D\xD8x\0"sv, "\xEF\xBF\xBDx"sv},
      {"Latin-1", "caf\xE9"sv, "caf\xC3\xA9"sv},
      {"Windows-1252", "\x93quoted\x94 \x80 5"sv, "\xE2\x80\x9Cquoted\xE2\x80\x9D \xE2\x82\xAC 5"sv},
      {"a place that Windows-1252 leaves empty", "a\x81"sv, "a\xC2\x81"sv},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(to_utf8(c.from), c.want);
  }
}

TEST(ToUtf8, WhatIsNoTextIsNone) {
  for (const std::string_view bytes : {"a\0b"sv, "\x01"sv,
                                       "\x7F"
                                       "ELF\x02\x01\x01\0"sv,
                                       "\x89PNG\r\n\x1A\n"sv, "\xFF\xFE\0\0"sv, "\xFF\xFE\x01"sv, "\xE9\0"sv}) {
    EXPECT_FALSE(to_utf8(bytes));
    EXPECT_FALSE(as_utf8(bytes));
  }
  EXPECT_FALSE(as_utf8("caf\xE9"sv));
}

TEST(ToUtf8, AFrontMayEndWithinACharacter) {
  for (const std::string_view text : {"ab\xF0\x9F\x98\x80"sv, "ab\xE2\x82\xAC"sv, "ab\xC3\xA9"sv}) {
    for (std::size_t bytes = 3; bytes < text.size(); ++bytes) {
      EXPECT_EQ(to_utf8(text.substr(0, bytes), Extent::front), "ab");
      EXPECT_EQ(as_utf8(text.substr(0, bytes), Extent::front), "ab");
      EXPECT_FALSE(as_utf8(text.substr(0, bytes)));
    }
    EXPECT_EQ(to_utf8(text, Extent::front), text);
  }
  EXPECT_EQ(to_utf8("\xFF\xFEh\0i"sv, Extent::front), "h");
  EXPECT_EQ(to_utf8("\xFF\xFEh\0\x3D\xD8"sv, Extent::front), "h");
  EXPECT_EQ(to_utf8("caf\xE9 au"sv, Extent::front), "caf\xC3\xA9 au");
}

TEST(ToUtf8, WhateverComesOutIsUtf8) {
  std::string bytes;
  for (int first = 0x20; first < 256; ++first) {
    for (int second = 0x20; second < 256; ++second) {
      bytes = {static_cast<char>(first), static_cast<char>(second), 'x', static_cast<char>(first)};
      for (const Extent extent : {Extent::whole, Extent::front}) {
        const auto text = to_utf8(bytes, extent);
        if (text) EXPECT_TRUE(is_valid_utf8(*text));
      }
    }
  }
}

}  // namespace
}  // namespace gbgreg::intake

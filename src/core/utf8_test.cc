#include "core/utf8.h"

#include <gtest/gtest.h>

namespace gbgreg {
namespace {

TEST(IsValidUtf8, TakesWhatUnicodeTakesAndNothingElse) {
  struct Case {
    const char* name;
    std::string_view text;
    bool want;
  };
  const Case cases[] = {
      {"empty", "", true},
      {"ascii", "hello", true},
      {"two, three and four bytes", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", true},
      {"the last code point", "\xF4\x8F\xBF\xBF", true},
      {"above the last code point", "\xF4\x90\x80\x80", false},
      {"overlong slash in two bytes", "\xC0\xAF", false},
      {"overlong slash in three bytes", "\xE0\x80\xAF", false},
      {"overlong in four bytes", "\xF0\x80\x80\xAF", false},
      {"surrogate", "\xED\xA0\x80", false},
      {"below the surrogates", "\xED\x9F\xBF", true},
      {"lonely continuation", "a\x80", false},
      {"cut", "\xE2\x82", false},
      {"lead then ascii",
       "\xC3"
       "a",
       false},
      {"0xff", "\xFF", false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(is_valid_utf8(c.text), c.want);
    EXPECT_TRUE(is_valid_utf8(to_valid_utf8(c.text)));
  }
}

TEST(BeginsValidUtf8, ForgivesOnlyACutAtTheEnd) {
  const std::string_view text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  for (std::size_t size = 0; size <= text.size(); ++size) EXPECT_TRUE(begins_valid_utf8(text.substr(0, size))) << size;
  EXPECT_FALSE(
      begins_valid_utf8("\xE2\x82"
                        "a"));
  EXPECT_FALSE(begins_valid_utf8("a\x80"));
  EXPECT_FALSE(begins_valid_utf8("\xE0\x80"));
  EXPECT_FALSE(begins_valid_utf8("\xFF"));
}

TEST(ToValidUtf8, ReplacesEachBrokenSequenceAndNul) {
  EXPECT_EQ(to_valid_utf8("a\xFF"
                          "b"),
            "a\uFFFDb");
  EXPECT_EQ(to_valid_utf8("\xE2\x82"), "\uFFFD");
  EXPECT_EQ(to_valid_utf8("\xE2\x82"
                          "x"),
            "\uFFFDx");
  EXPECT_EQ(to_valid_utf8(std::string_view("a\0b", 3)), "a\uFFFDb");
  EXPECT_EQ(to_valid_utf8("caf\xC3\xA9"), "caf\xC3\xA9");
}

TEST(CutUtf8, EndsBetweenCharacters) {
  const std::string_view text = "a\xE2\x82\xAC";
  EXPECT_EQ(cut_utf8(text, 4), text);
  EXPECT_EQ(cut_utf8(text, 3), "a");
  EXPECT_EQ(cut_utf8(text, 1), "a");
  EXPECT_EQ(cut_utf8(text, 0), "");
}

}  // namespace
}  // namespace gbgreg

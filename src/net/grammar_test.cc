#include "net/grammar.h"

#include <gtest/gtest.h>

#include <string>

namespace gbgreg::net {
namespace {

TEST(IsToken, TakesTheCharactersOfAFieldName) {
  for (const char* good : {"a", "Content-Type", "x!#$%&'*+-.^_`|~09"}) EXPECT_TRUE(is_token(good)) << good;
  for (const char* bad : {"", " ", "a b", "a:", "(a)", "a\x7f", "\xc3\xa9", "\"a\""})
    EXPECT_FALSE(is_token(bad)) << bad;
}

TEST(TrimBlanks, LeavesWhatStandsInside) {
  EXPECT_EQ(trim_blanks(" \ta b\t "), "a b");
  EXPECT_EQ(trim_blanks(" \t"), "");
  EXPECT_EQ(trim_blanks("\r\n"), "\r\n");
}

TEST(HexDigit, KnowsBothCases) {
  EXPECT_EQ(hex_digit('9'), 9);
  EXPECT_EQ(hex_digit('a'), 10);
  EXPECT_EQ(hex_digit('F'), 15);
  for (const char bad : std::string_view("g/:@G`\0", 7)) EXPECT_EQ(hex_digit(bad), -1) << bad;
}

TEST(ParseDecimal, TakesDigitsOnlyAndNoMoreThanFit) {
  EXPECT_EQ(parse_decimal("0"), 0U);
  EXPECT_EQ(parse_decimal("007"), 7U);
  EXPECT_EQ(parse_decimal("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "0x1", "1,1", "18446744073709551616", "99999999999999999999"}) {
    EXPECT_EQ(parse_decimal(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace gbgreg::net

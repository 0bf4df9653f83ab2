#include "http/query.h"

#include <gtest/gtest.h>

namespace gbgreg::http {
namespace {

TEST(QueryText, IsUnescapedOrWhatStandsForNone) {
  EXPECT_EQ(query_text("q=two%20words&cursor=", "q"), "two words");
  EXPECT_EQ(query_text("q=two%20words&cursor=", "cursor", "first"), "");
  EXPECT_EQ(query_text("q=two%20words", "cursor", "first"), "first");
  EXPECT_EQ(query_text("", "cursor"), "");
  EXPECT_EQ(query_text("q=%zz", "q").error().kind, Kind::malformed);
}

TEST(QueryNumber, IsWholeOrRefusedByItsName) {
  EXPECT_EQ(query_number("limit=20", "limit", 50), 20);
  EXPECT_EQ(query_number("limit=-3", "limit", 50), -3);
  EXPECT_EQ(query_number("other=20", "limit", 50), 50);
  for (const char* query : {"limit=", "limit=1x", "limit=1.5", "limit=+1", "limit=99999999999"}) {
    const auto number = query_number(query, "limit", 50);
    ASSERT_FALSE(number) << query;
    EXPECT_EQ(number.error().code, "limit_malformed");
  }
}

}  // namespace
}  // namespace gbgreg::http

#include "http/file_content.h"

#include <gtest/gtest.h>

namespace gbgreg::http {
namespace {

TEST(ChooseRange, TakesOneRangeAndIgnoresWhatItCannotRead) {
  const auto part = [](std::uint64_t first, std::uint64_t size) {
    return ChosenRange{.answer = RangeAnswer::part, .range = {.first = first, .size = size}};
  };
  const ChosenRange whole, unsatisfiable{.answer = RangeAnswer::unsatisfiable};
  struct Case {
    std::string_view field;
    std::uint64_t size_bytes;
    ChosenRange want;
  };
  const Case cases[] = {
      {"bytes=0-0", 10, part(0, 1)},
      {"bytes=0-", 10, part(0, 10)},
      {"Bytes=9-9", 10, part(9, 1)},
      {"bytes=5-100", 10, part(5, 5)},
      {"bytes=-3", 10, part(7, 3)},
      {"bytes=-30", 10, part(0, 10)},
      {"bytes=0-18446744073709551615", 10, part(0, 10)},
      {"bytes=10-", 10, unsatisfiable},
      {"bytes=-0", 10, unsatisfiable},
      {"bytes=0-", 0, unsatisfiable},
      {"bytes=-1", 0, unsatisfiable},
      {"bytes=4-2", 10, whole},
      {"bytes=0-1,3-4", 10, whole},
      {"bytes=", 10, whole},
      {"bytes=-", 10, whole},
      {"bytes=a-b", 10, whole},
      {"bytes=+1-2", 10, whole},
      {"bytes=--1", 10, whole},
      {"bytes= 1-2", 10, whole},
      {"bytes=99999999999999999999-", 10, whole},
      {"lines=1-2", 10, whole},
      {"", 10, whole},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.field);
    EXPECT_EQ(choose_range(c.field, c.size_bytes), c.want);
  }
  EXPECT_EQ(choose_range(std::nullopt, 10), whole);
}

TEST(SafeTypeOf, ShowsOnlyWhatCannotRun) {
  const auto type_of = [](std::string_view kind, std::string_view media_type) {
    const SafeType type = safe_type(kind, media_type);
    return type.content_type + (type.may_be_shown ? " shown" : " saved");
  };
  EXPECT_EQ(type_of("image", "image/png"), "image/png shown");
  EXPECT_EQ(type_of("image", "image/tiff"), "image/tiff saved");
  EXPECT_EQ(type_of("code", "text/html"), "text/plain; charset=utf-8 shown");
  EXPECT_EQ(type_of("text", "image/svg+xml"), "text/plain; charset=utf-8 shown");
  EXPECT_EQ(type_of("data", "image/svg+xml"), "image/svg+xml saved");
  EXPECT_EQ(type_of("document", "application/pdf"), "application/pdf saved");
}

TEST(ContentDisposition, CannotBeBrokenOutOf) {
  EXPECT_EQ(content_disposition("a b.txt", true), "inline; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
  EXPECT_EQ(content_disposition("\u00E9\"\\%.txt", false),
            "attachment; filename=\"_____.txt\"; filename*=UTF-8''%C3%A9%22%5C%25.txt");
  EXPECT_EQ(content_disposition("a\r\nb", false), "attachment; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab");
}

}  // namespace
}  // namespace gbgreg::http

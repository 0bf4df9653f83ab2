#include "intake/image_kind.h"

#include <gtest/gtest.h>

#include <string>

namespace gbgreg::intake {
namespace {

using namespace std::string_view_literals;

TEST(ImageKind, IsToldByTheFirstBytes) {
  struct Case {
    const char* name;
    std::string_view front;
    std::optional<ImageKind> want;
  };
  const Case cases[] = {
      {"PNG", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"sv, ImageKind::png},
      {"a PNG that lost its line end on the way", "\x89PNG\n\x1a\n\0\0\0\rIHDR"sv, std::nullopt},
      {"JPEG", "\xff\xd8\xff\xe0"sv, ImageKind::jpeg},
      {"GIF of 1987", "GIF87a"sv, ImageKind::gif},
      {"GIF of 1989", "GIF89a"sv, ImageKind::gif},
      {"GIF of no year", "GIF90a"sv, std::nullopt},
      {"WebP", "RIFF\x10\0\0\0WEBPVP8 "sv, ImageKind::webp},
      {"a sound", "RIFF\x10\0\0\0WAVEfmt "sv, std::nullopt},
      {"RIFF and nothing more", "RIFF"sv, std::nullopt},
      {"BMP", "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"sv, ImageKind::bmp},
      {"a text about cars", "BMW is a maker of cars."sv, std::nullopt},
      {"BMP that ends at once", "BM\0\0"sv, std::nullopt},
      {"SVG", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"sv, std::nullopt},
      {"TIFF", "II*\0"sv, std::nullopt},
      {"nothing", ""sv, std::nullopt},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(image_kind(c.front), c.want);
  }
}

}  // namespace
}  // namespace gbgreg::intake

// Images that the tests make with the same library's savers, whole and broken, through the decoder.
#include "look_image.h"

#include <gtest/gtest.h>
#include <vips/vips.h>

#include <filesystem>
#include <string>

namespace gbgreg::jail {
namespace {

using Bytes = std::vector<std::uint8_t>;
using intake::ImageKind;

// The savers are foreign code like the loaders, and blocked like them: the tests take the blocks off to make images.
class LookImageTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(start_decoding()); }

  // One colour, which begins to vary behind the first row, so that there is something to compress.
  static VipsImage* picture(int width, int height, const Bytes& colour = {200, 30, 40},
                            VipsInterpretation meaning = VIPS_INTERPRETATION_sRGB) {
    Bytes pixels;
    std::uint32_t state = 1;
    for (int i = 0; i < width * height; ++i) {
      state = state * 1'664'525 + 1'013'904'223;
      for (const std::uint8_t band : colour) {
        pixels.push_back(i < 8 * width ? band : static_cast<std::uint8_t>(band ^ (state >> 28)));
      }
    }
    VipsImage* const image = vips_image_new_from_memory_copy(pixels.data(), pixels.size(), width, height,
                                                             static_cast<int>(colour.size()), VIPS_FORMAT_UCHAR);
    image->Type = meaning;
    return image;
  }

  template <class Save>
  static Bytes save(VipsImage* image, Save saver) {
    vips_operation_block_set("VipsForeignSave", FALSE);
    void* bytes = nullptr;
    std::size_t size = 0;
    EXPECT_EQ(saver(image, &bytes, &size), 0) << vips_error_buffer();
    vips_operation_block_set("VipsForeignSave", TRUE);
    g_object_unref(image);
    const auto* const begin = static_cast<const std::uint8_t*>(bytes);
    Bytes file(begin, begin + size);
    g_free(bytes);
    return file;
  }
  static Bytes png(VipsImage* image) {
    return save(image, [](VipsImage* in, void** out, std::size_t* size) {
      return vips_pngsave_buffer(in, out, size, nullptr);
    });
  }
  static Bytes jpeg(VipsImage* image) {
    return save(image, [](VipsImage* in, void** out, std::size_t* size) {
      return vips_jpegsave_buffer(in, out, size, "Q", 95, nullptr);
    });
  }
  static Bytes webp(VipsImage* image) {
    return save(image, [](VipsImage* in, void** out, std::size_t* size) {
      return vips_webpsave_buffer(in, out, size, "lossless", TRUE, nullptr);
    });
  }
  static Bytes gif(VipsImage* image) {
    return save(image, [](VipsImage* in, void** out, std::size_t* size) {
      return vips_gifsave_buffer(in, out, size, nullptr);
    });
  }

  static void expect_red(const Pixels& pixels, int within = 6) {
    ASSERT_EQ(pixels.bands, 3U);
    EXPECT_NEAR(pixels.bytes[0], 200, within);
    EXPECT_NEAR(pixels.bytes[1], 30, within);
    EXPECT_NEAR(pixels.bytes[2], 40, within);
  }
};

Looked<Pixels> decode(std::span<const std::uint8_t> file, ImageKind kind) { return jail::decode(file, kind, {}); }

TEST_F(LookImageTest, ReadsWhatItShould) {
  struct Case {
    const char* name;
    Bytes file;
    ImageKind kind;
  };
  const Case cases[] = {{"PNG", png(picture(60, 40)), ImageKind::png},
                        {"JPEG", jpeg(picture(60, 40)), ImageKind::jpeg},
                        {"WebP", webp(picture(60, 40)), ImageKind::webp},
                        {"GIF", gif(picture(60, 40)), ImageKind::gif}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto pixels = decode(c.file, c.kind);
    ASSERT_TRUE(pixels) << vips_error_buffer();
    EXPECT_EQ(pixels->width, 60U);
    EXPECT_EQ(pixels->height, 40U);
    expect_red(*pixels);
  }
}

TEST_F(LookImageTest, WhatIsTransparentIsUponWhite) {
  const auto pixels = decode(png(picture(10, 10, {200, 30, 40, 128})), ImageKind::png);
  ASSERT_TRUE(pixels);
  ASSERT_EQ(pixels->bands, 3U);
  EXPECT_NEAR(pixels->bytes[0], 227, 2);
  EXPECT_NEAR(pixels->bytes[1], 142, 2);
}

TEST_F(LookImageTest, GreyBecomesColour) {
  const auto pixels = decode(png(picture(8, 8, {90}, VIPS_INTERPRETATION_B_W)), ImageKind::png);
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->bands, 3U);
}

TEST_F(LookImageTest, InksBecomeLight) {
  const Bytes cyan = {255, 0, 0, 0};
  const auto pixels = decode(jpeg(picture(32, 32, cyan, VIPS_INTERPRETATION_CMYK)), ImageKind::jpeg);
  ASSERT_TRUE(pixels) << vips_error_buffer();
  ASSERT_EQ(pixels->bands, 3U);
  EXPECT_LT(pixels->bytes[0], 90);
  EXPECT_GT(pixels->bytes[2], 150);
}

TEST_F(LookImageTest, IsTurnedUprightAndForgetsWhatItWasTold) {
  VipsImage* image = picture(60, 40);
  vips_image_set_int(image, VIPS_META_ORIENTATION, 6);
  const auto pixels = decode(jpeg(image), ImageKind::jpeg);
  ASSERT_TRUE(pixels);
  EXPECT_EQ(pixels->width, 40U);
  EXPECT_EQ(pixels->height, 60U);
  const auto shown = to_png(*pixels);
  ASSERT_TRUE(shown);
  EXPECT_FALSE(shown->contains("eXIf"));
  EXPECT_FALSE(shown->contains("iCCP"));
}

TEST_F(LookImageTest, AFileCutShortAnywhereIsDamaged) {
  struct Case {
    const char* name;
    Bytes file;
    ImageKind kind;
  };
  const Case cases[] = {{"PNG", png(picture(200, 100)), ImageKind::png},
                        {"JPEG", jpeg(picture(200, 100)), ImageKind::jpeg},
                        {"WebP", webp(picture(200, 100)), ImageKind::webp},
                        {"GIF", gif(picture(200, 100)), ImageKind::gif}};
  for (const Case& c : cases) {
    for (const std::size_t part : {1U, 5U, 9U, 10U}) {
      // Of the last tenth all but the end itself, whose marks some decoders do not ask for.
      const std::size_t size = part == 10 ? c.file.size() - c.file.size() / 20 - 12 : c.file.size() * part / 10;
      const auto pixels = decode(std::span(c.file).first(size), c.kind);
      EXPECT_FALSE(pixels) << c.name << " of " << size << " bytes out of " << c.file.size();
    }
  }
}

TEST_F(LookImageTest, GarbageBehindARightFrontIsDamaged) {
  const std::pair<std::string, ImageKind> fronts[] = {{"\x89PNG\r\n\x1a\n", ImageKind::png},
                                                      {"\xff\xd8\xff\xe0", ImageKind::jpeg},
                                                      {"GIF89a", ImageKind::gif},
                                                      {std::string("RIFF\x10\0\0\0WEBPVP8 ", 16), ImageKind::webp},
                                                      {std::string("BM\0\0\0\0", 6), ImageKind::bmp}};
  for (const auto& [front, kind] : fronts) {
    Bytes file(front.begin(), front.end());
    std::uint32_t state = 7;
    for (int i = 0; i < 5'000; ++i) {
      state = state * 1'664'525 + 1'013'904'223;
      file.push_back(static_cast<std::uint8_t>(state >> 24));
    }
    EXPECT_FALSE(decode(file, kind)) << front;
  }
}

TEST_F(LookImageTest, AnotherKindThanItsOwnIsDamaged) {
  // However the bytes are named, only the loader of that kind sees them.
  const std::string svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(svg.data()), svg.size());
  for (const auto kind : {ImageKind::png, ImageKind::jpeg, ImageKind::gif, ImageKind::webp, ImageKind::bmp}) {
    EXPECT_FALSE(decode(bytes, kind));
  }
}

TEST_F(LookImageTest, OtherLoadersAreBlocked) {
  const std::string svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";
  VipsImage* out = nullptr;
  EXPECT_NE(vips_svgload_buffer(const_cast<char*>(svg.data()), svg.size(), &out, nullptr), 0);
  const std::string ppm = "P6 1 1 255 abc";
  EXPECT_EQ(vips_image_new_from_buffer(ppm.data(), ppm.size(), "", nullptr), nullptr);
}

// A PNG whose header says one thing and that has nothing behind it.
Bytes png_header(std::uint32_t width, std::uint32_t height) {
  Pixels pixel{.width = 1, .height = 1, .bands = 3, .bytes = {1, 2, 3}};
  const std::string whole = *to_png(pixel);
  Bytes file(whole.begin(), whole.end());
  for (int i = 0; i < 4; ++i) {
    file[static_cast<std::size_t>(16 + i)] = static_cast<std::uint8_t>(width >> (24 - 8 * i) & 0xff);
    file[static_cast<std::size_t>(20 + i)] = static_cast<std::uint8_t>(height >> (24 - 8 * i) & 0xff);
  }
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= file[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xedb88320U : crc >> 1;
  }
  crc = ~crc;
  for (int i = 0; i < 4; ++i) {
    file[static_cast<std::size_t>(29 + i)] = static_cast<std::uint8_t>(crc >> (24 - 8 * i) & 0xff);
  }
  return file;
}

TEST_F(LookImageTest, MorePixelsThanTheBoundAreRefusedByTheHeader) {
  EXPECT_EQ(decode(png_header(6'325, 6'325), ImageKind::png).error(), kTooLarge);
  EXPECT_EQ(decode(png_header(32'768, 2), ImageKind::png).error(), kTooLarge);
  EXPECT_EQ(decode(png_header(2, 60'000), ImageKind::png).error(), kTooLarge);
  EXPECT_EQ(decode(png_header(6'000, 6'000), ImageKind::png).error(), kDamaged) << "small enough, and empty";
  const intake::ImageLimits small{.pixels_max = 99, .side_max = 20};
  EXPECT_EQ(jail::decode(png_header(10, 10), ImageKind::png, small).error(), kTooLarge);
  EXPECT_EQ(jail::decode(png_header(2, 21), ImageKind::png, small).error(), kTooLarge);
  EXPECT_EQ(jail::decode(png_header(9, 11), ImageKind::png, small).error(), kDamaged);
}

TEST_F(LookImageTest, WhatIsShownFits) {
  struct Case {
    std::uint32_t width, height, shown_width, shown_height;
  };
  for (const Case& c : {Case{3'136, 784, 1'568, 392}, Case{784, 3'136, 392, 1'568}, Case{100, 50, 100, 50},
                        Case{1'568, 1'568, 1'568, 1'568}, Case{30'000, 1, 1'568, 1}, Case{2, 20'000, 1, 1'568}}) {
    SCOPED_TRACE(c.width);
    Pixels image{.width = c.width, .height = c.height, .bands = 3};
    image.bytes.assign(image.row_bytes() * c.height, 77);
    const auto shown = shrink_to_show(image, 1'568);
    ASSERT_TRUE(shown) << vips_error_buffer();
    EXPECT_EQ(shown->width, c.shown_width);
    EXPECT_EQ(shown->height, c.shown_height);
    EXPECT_EQ(shown->bytes.front(), 77);
  }
}

TEST_F(LookImageTest, SmallOnesAreEnlargedToReadFromAndLargeOnesShrunk) {
  Pixels small{.width = 300, .height = 100, .bands = 3};
  small.bytes.assign(small.row_bytes() * small.height, 9);
  const auto larger = scale_to_read(small);
  ASSERT_TRUE(larger);
  EXPECT_EQ(larger->width, 600U);
  EXPECT_EQ(larger->bands, 1U);

  Pixels large{.width = 5'000, .height = 4'000, .bands = 3};
  large.bytes.assign(large.row_bytes() * large.height, 9);
  const auto smaller = scale_to_read(large);
  ASSERT_TRUE(smaller);
  EXPECT_LE(std::uint64_t{smaller->width} * smaller->height, 8'100'000U);
}

}  // namespace
}  // namespace gbgreg::jail

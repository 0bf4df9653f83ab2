#include "look_image.h"

#include <png.h>
#include <vips/vips.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "look_bmp.h"

namespace gbgreg::jail {
namespace {

using intake::ImageKind;

constexpr int kStripRows = 16;
// Enlarging helps small letters, but no letter is read better at three times its size, and time grows with the pixels.
constexpr double kEnlargedMax = 2;
constexpr double kReadPixelsMax = 8'000'000;
constexpr double kReadSideMax = 32'000;  // Tesseract counts in 16 bits.

struct Unref {
  void operator()(void* object) const { ::g_object_unref(object); }
};
using Image = std::unique_ptr<VipsImage, Unref>;
using Region = std::unique_ptr<VipsRegion, Unref>;

Image load(std::span<const std::uint8_t> file, ImageKind kind) {
  // libvips takes a buffer that it does not write to.
  void* const bytes = const_cast<std::uint8_t*>(file.data());
  VipsImage* out = nullptr;
  switch (kind) {
    case ImageKind::png:
      ::vips_pngload_buffer(bytes, file.size(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                            nullptr);
      break;
    case ImageKind::jpeg:
      ::vips_jpegload_buffer(bytes, file.size(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                             nullptr);
      break;
    case ImageKind::webp:
      ::vips_webpload_buffer(bytes, file.size(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                             nullptr);
      break;
    case ImageKind::gif:
      ::vips_gifload_buffer(bytes, file.size(), &out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                            nullptr);
      break;
    case ImageKind::bmp:
      break;  // Ours.
  }
  return Image(out);
}

Image view_of(const Pixels& pixels) {
  VipsImage* const view =
      ::vips_image_new_from_memory(pixels.bytes.data(), pixels.bytes.size(), static_cast<int>(pixels.width),
                                   static_cast<int>(pixels.height), static_cast<int>(pixels.bands), VIPS_FORMAT_UCHAR);
  if (view == nullptr) return nullptr;
  // What the bands mean is not said by their number.
  view->Type = pixels.bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
  return Image(view);
}

// Takes an operation's place: `run` gives it the image and where the next one goes.
template <class Run>
bool become(Image& image, Run run) {
  VipsImage* out = nullptr;
  if (run(image.get(), &out) != 0) return false;
  image.reset(out);
  return true;
}

// What is transparent is seen upon white, as on most pages.
bool flatten(Image& image) {
  if (::vips_image_hasalpha(image.get()) == 0) return true;
  constexpr double kWhite[] = {255, 255, 255};
  VipsArrayDouble* const background = ::vips_array_double_new(kWhite, 3);
  const auto run = [background](VipsImage* in, VipsImage** out) {
    return ::vips_flatten(in, out, "background", background, nullptr);
  };
  const bool is_flat = become(image, run);
  ::vips_area_unref(VIPS_AREA(background));
  return is_flat;
}

// Whatever the image is made of to bytes of red, green and blue. A profile that it brings is left out: it is foreign
// code to the library that would follow it, and a model does not see the difference.
bool to_srgb(Image& image) {
  const auto copy = [](VipsImage* in, VipsImage** out) { return ::vips_copy(in, out, nullptr); };
  if (!become(image, copy)) return false;
  ::vips_image_remove(image.get(), VIPS_META_ICC_NAME);
  const auto colour = [](VipsImage* in, VipsImage** out) {
    return ::vips_colourspace(in, out, VIPS_INTERPRETATION_sRGB, nullptr);
  };
  const auto cast = [](VipsImage* in, VipsImage** out) { return ::vips_cast_uchar(in, out, nullptr); };
  return become(image, colour) && flatten(image) && become(image, cast) && image->Bands == 3;
}

// Computes every pixel, from the top down, on this thread.
Looked<Pixels> compute(VipsImage* image) {
  Pixels pixels{.width = static_cast<std::uint32_t>(image->Xsize),
                .height = static_cast<std::uint32_t>(image->Ysize),
                .bands = static_cast<std::uint32_t>(image->Bands)};
  pixels.bytes.resize(pixels.row_bytes() * pixels.height);
  const Region region(::vips_region_new(image));
  if (!region) return std::unexpected(kDamaged);
  for (int top = 0; top < image->Ysize; top += kStripRows) {
    const VipsRect strip{
        .left = 0, .top = top, .width = image->Xsize, .height = std::min(kStripRows, image->Ysize - top)};
    if (::vips_region_prepare(region.get(), &strip) != 0) return std::unexpected(kDamaged);
    for (int row = top; row < top + strip.height; ++row) {
      std::copy_n(VIPS_REGION_ADDR(region.get(), 0, row), pixels.row_bytes(),
                  pixels.bytes.data() + pixels.row_bytes() * static_cast<std::size_t>(row));
    }
  }
  return pixels;
}

// Turned and mirrored as EXIF's number says, which is 1 for an image that is upright.
Looked<Pixels> make_upright(Pixels pixels, int orientation) {
  if (orientation <= 1 || orientation > 8) return pixels;
  Image image = view_of(pixels);
  if (!image) return std::unexpected(kDamaged);
  ::vips_image_set_int(image.get(), VIPS_META_ORIENTATION, orientation);
  const auto turn = [](VipsImage* in, VipsImage** out) { return ::vips_autorot(in, out, nullptr); };
  if (!become(image, turn)) return std::unexpected(kDamaged);
  return compute(image.get());
}

Looked<Pixels> upon_white(const Pixels& pixels) {
  Image image = view_of(pixels);
  if (!image || !to_srgb(image)) return std::unexpected(kDamaged);
  return compute(image.get());
}

Looked<Pixels> scale(Image image, double factor) {
  // A line of one pixel stays one, whatever becomes of the other side.
  const auto at_least = [factor](int side) { return std::max(factor, 1.0 / side); };
  const double across = at_least(image->Xsize), down = at_least(image->Ysize);
  const auto resize = [&](VipsImage* in, VipsImage** out) {
    return ::vips_resize(in, out, across, "vscale", down, nullptr);
  };
  if (factor != 1 && !become(image, resize)) return std::unexpected(kDamaged);
  return compute(image.get());
}

// What a library has to say of a hostile file is part of that file, and saying it takes more than the cage has.
GLogWriterOutput say_nothing(GLogLevelFlags, const GLogField*, gsize, void*) { return G_LOG_WRITER_HANDLED; }

}  // namespace

bool start_decoding() {
  // libvips looks for its modules in a folder beneath this one, and runs whatever lies there.
  ::setenv("VIPSHOME", "/nonexistent", 1);
  ::setenv("VIPS_NOVECTOR", "1", 1);  // It would make code as it runs, and the cage has no memory that can be run.
  ::setenv("VIPS_DISC_THRESHOLD", "16g", 1);  // There is no disk in the cage for what is large.
  if (::vips_init("gbgreg-jail-look") != 0) return false;
  ::g_log_set_writer_func(say_nothing, nullptr, nullptr);
  ::vips_concurrency_set(1);
  ::vips_cache_set_max(0);
  ::vips_block_untrusted_set(TRUE);
  ::vips_operation_block_set("VipsForeign", TRUE);
  for (const char* ours :
       {"VipsForeignLoadPng", "VipsForeignLoadJpeg", "VipsForeignLoadWebp", "VipsForeignLoadNsgif"}) {
    ::vips_operation_block_set(ours, FALSE);
  }
  return true;
}

Looked<Pixels> decode(std::span<const std::uint8_t> file, ImageKind kind, const intake::ImageLimits& limits) {
  if (kind == ImageKind::bmp) {
    auto pixels = read_bmp(file, limits);
    return pixels && pixels->bands == 4 ? upon_white(*pixels) : pixels;
  }
  Image image = load(file, kind);  // Only the header, as yet.
  if (!image) return std::unexpected(kDamaged);
  const auto checked =
      check_size(static_cast<std::uint64_t>(image->Xsize), static_cast<std::uint64_t>(image->Ysize), limits);
  if (!checked) return std::unexpected(checked.error());
  const int orientation = ::vips_image_get_orientation(image.get());
  if (!to_srgb(image)) return std::unexpected(kDamaged);
  auto pixels = compute(image.get());
  image.reset();
  return pixels ? make_upright(std::move(*pixels), orientation) : pixels;
}

Looked<Pixels> shrink_to_show(const Pixels& image, std::uint32_t side_max) {
  Image view = view_of(image);
  if (!view) return std::unexpected(kDamaged);
  const double longest = std::max(image.width, image.height);
  return scale(std::move(view), std::min(1.0, side_max / longest));
}

Looked<Pixels> scale_to_read(const Pixels& image) {
  Image view = view_of(image);
  const auto grey = [](VipsImage* in, VipsImage** out) {
    return ::vips_colourspace(in, out, VIPS_INTERPRETATION_B_W, nullptr);
  };
  if (!view || !become(view, grey)) return std::unexpected(kDamaged);
  const double pixels = static_cast<double>(image.width) * image.height;
  const double longest = std::max(image.width, image.height);
  return scale(std::move(view), std::min({kEnlargedMax, std::sqrt(kReadPixelsMax / pixels), kReadSideMax / longest}));
}

Looked<std::string> to_png(const Pixels& image) {
  png_image head{};
  head.version = PNG_IMAGE_VERSION;
  head.width = image.width;
  head.height = image.height;
  head.format = image.bands == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::string png(PNG_IMAGE_PNG_SIZE_MAX(head), '\0');
  png_alloc_size_t size = png.size();
  if (::png_image_write_to_memory(&head, png.data(), &size, 0, image.bytes.data(), 0, nullptr) == 0) {
    return std::unexpected(kDamaged);
  }
  png.resize(size);
  return png;
}

}  // namespace gbgreg::jail

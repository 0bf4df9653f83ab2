#include "intake/image_kind.h"

#include <array>

namespace gbgreg::intake {
namespace {

using namespace std::string_view_literals;

// "BM" alone begins many a text as well, so the size of the header behind it has to be one of those that exist.
bool is_bmp(std::string_view front) {
  constexpr std::array kHeaderSizes = {"\x28\0\0\0"sv, "\x34\0\0\0"sv, "\x38\0\0\0"sv, "\x6c\0\0\0"sv, "\x7c\0\0\0"sv};
  if (!front.starts_with("BM") || front.size() < kImageFrontBytes) return false;
  for (const std::string_view size : kHeaderSizes) {
    if (front.substr(14, 4) == size) return true;
  }
  return false;
}

}  // namespace

std::optional<ImageKind> image_kind(std::string_view front) {
  if (front.starts_with("\x89PNG\r\n\x1a\n"sv)) return ImageKind::png;
  if (front.starts_with("\xff\xd8\xff"sv)) return ImageKind::jpeg;
  if (front.starts_with("GIF87a") || front.starts_with("GIF89a")) return ImageKind::gif;
  if (front.starts_with("RIFF") && front.size() >= 12 && front.substr(8, 4) == "WEBP") return ImageKind::webp;
  if (is_bmp(front)) return ImageKind::bmp;
  return std::nullopt;
}

}  // namespace gbgreg::intake

#include "intake/image.h"

#include "core/utf8.h"
#include "intake/image_kind.h"
#include "intake/jail.h"

namespace gbgreg::intake {
namespace {

std::unexpected<Error> garbled(std::string detail) {
  return fail(Kind::refused, "jail_garbled", "The image could not be read safely, so it was not taken.",
              std::move(detail));
}

// A PNG of colours that do not compress is a little larger than its pixels are.
std::uint64_t png_bytes_max(const ImageLimits& limits) {
  return std::uint64_t{4} * limits.shown_side_max * limits.shown_side_max + 64 * 1024;
}

}  // namespace

std::unexpected<Error> ImageReport::refusal(std::string_view code) const {
  if (code == "image_type_unknown") {
    return fail(Kind::unsupported_type, std::string(code),
                "By its own bytes the file is no PNG, JPEG, WebP, GIF or BMP. Save the image as one of these.");
  }
  if (code == "image_damaged") {
    return fail(
        Kind::refused, std::string(code),
        "The image is damaged or cut short: it could not be decoded to its end. Save it anew and send it again.");
  }
  if (code == "image_too_large") {
    return std::unexpected(Error{.kind = Kind::refused,
                                 .code = std::string(code),
                                 .message = "An image may have at most " + std::to_string(limits_.pixels_max) +
                                            " pixels (limits.image_pixels_max), and no side of more than " +
                                            std::to_string(limits_.side_max) +
                                            " (limits.image_side_max). Make it smaller.",
                                 .details_json = R"({"limit_pixels":)" + std::to_string(limits_.pixels_max) +
                                                 R"(,"limit_side_pixels":)" + std::to_string(limits_.side_max) + "}"});
  }
  if (code == "text_reader_missing") {
    return std::unexpected(Error{.kind = Kind::unavailable,
                                 .code = std::string(code),
                                 .message =
                                     "Text cannot be read off images here. Ask whoever runs this gateway to install "
                                     "Tesseract's English (tesseract-ocr-eng).",
                                 .retry_after_seconds = 60});
  }
  return garbled("a refusal that it does not have");
}

Result<void> ImageReport::take(const JailMessage& message) {
  if (has_ended_) return garbled("a message behind the last");
  if (message.type == 'X' && !has_head_) return refusal(message.payload);
  if (message.type == 'I' && !has_head_) return take_head(message.payload);
  if (!has_head_) return garbled("a message before the first");
  if (message.type == 'P') return append(seen_.png, message.payload, png_bytes_max(limits_));
  if (message.type == 'T') return append(seen_.text, message.payload, kImageTextBytesMax);
  if (message.type != 'Z') return garbled("a message of no type that it has");
  has_ended_ = true;
  return {};
}

Result<void> ImageReport::take_head(std::string_view payload) {
  for (std::uint32_t* side : {&seen_.width, &seen_.height, &seen_.shown_width, &seen_.shown_height}) {
    const auto pixels = take_u32(payload);
    if (!pixels || !is_side(*pixels)) return garbled("an image without sides");
    *side = *pixels;
  }
  if (!payload.empty()) return garbled("an image with too many sides");
  has_head_ = true;
  return {};
}

Result<void> ImageReport::append(std::string& to, std::string_view payload, std::uint64_t bytes_max) const {
  if (to.size() + payload.size() > bytes_max) return garbled("more than its bound");
  to.append(payload);
  return {};
}

Result<SeenImage> ImageReport::end() {
  using namespace std::string_view_literals;
  if (!has_ended_) return garbled("no end");
  if (!seen_.png.starts_with("\x89PNG\r\n\x1a\n"sv)) return garbled("no PNG");
  seen_.text = to_valid_utf8(seen_.text);
  return std::move(seen_);
}

Result<SeenImage> look_at_image(const std::string& program, int input, const ImageLimits& limits,
                                const std::atomic<bool>& is_stopping) {
  const JailCommand command{.program = program,
                            .arguments = {std::to_string(limits.pixels_max), std::to_string(limits.side_max),
                                          std::to_string(limits.shown_side_max), std::to_string(limits.seconds_max)},
                            .input = input,
                            .time_max = std::chrono::seconds(limits.seconds_max),
                            .output_bytes_max = png_bytes_max(limits) + kImageTextBytesMax + kJailMessageBytesMax};
  ImageReport report(limits);
  auto run = run_jail(command, is_stopping, [&](const JailMessage& message) { return report.take(message); });
  if (!run) return std::unexpected(std::move(run.error()));
  return report.end();
}

}  // namespace gbgreg::intake

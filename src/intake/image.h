// What is on an image, told by the jail that alone decodes it (jail/look.cc). What the jail says is foreign, too: it
// has had hostile bytes in its hands.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "core/error.h"
#include "intake/jail_messages.h"
#include "intake/options.h"

namespace gbgreg::intake {

// The text that was read.
inline constexpr std::uint64_t kImageTextBytesMax = 64 * 1024;

struct SeenImage {
  std::uint32_t width = 0;  // Of the image, upright.
  std::uint32_t height = 0;
  std::uint32_t shown_width = 0;  // Of the PNG.
  std::uint32_t shown_height = 0;
  std::string png = {};   // Without anything but pixels in it.
  std::string text = {};  // Valid UTF-8 without NUL; empty where none could be read.
};

// Puts together what the jail says, message by message. One thread.
class ImageReport {
 public:
  explicit ImageReport(const ImageLimits& limits) : limits_(limits) {}

  // Errors: unsupported_type (image_type_unknown), refused (image_damaged, image_too_large), unavailable
  // (text_reader_missing: the machine has no language to read), refused (jail_garbled) for what it would never say.
  Result<void> take(const JailMessage& message);
  // After the last message. Errors: refused (jail_garbled) when the end is missing.
  Result<SeenImage> end();

 private:
  Result<void> take_head(std::string_view payload);
  Result<void> append(std::string& to, std::string_view payload, std::uint64_t bytes_max) const;

  std::unexpected<Error> refusal(std::string_view code) const;
  bool is_side(std::uint32_t pixels) const { return pixels > 0 && pixels <= limits_.side_max; }

  const ImageLimits limits_;
  SeenImage seen_;
  bool has_head_ = false;
  bool has_ended_ = false;
};

// Blocking, for as long as limits.seconds_max: for a pool of its own. `program` is the jail's path, `input` a
// descriptor of the image. Errors: those of ImageReport and of run_jail().
Result<SeenImage> look_at_image(const std::string& program, int input, const ImageLimits& limits,
                                const std::atomic<bool>& is_stopping);

}  // namespace gbgreg::intake

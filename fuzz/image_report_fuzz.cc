// What a jail says of an image, cut into messages by its own lengths: whatever it says, what is believed of it is
// within its bounds.
#include <cstdlib>
#include <cstring>

#include "core/utf8.h"
#include "intake/image.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  gbgreg::intake::JailMessages messages;
  if (size > 0) std::memcpy(messages.room(size), data, size);
  messages.got(size);
  gbgreg::intake::ImageReport report(gbgreg::intake::ImageLimits{});
  while (true) {
    const auto message = messages.next();
    if (!message || !*message) break;
    if (!report.take(**message)) return 0;
  }
  const auto seen = report.end();
  if (seen && (!gbgreg::is_valid_utf8(seen->text) || seen->text.contains('\0') || seen->width == 0)) std::abort();
  return 0;
}

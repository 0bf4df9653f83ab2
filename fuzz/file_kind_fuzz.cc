// Names and contents of any bytes: what comes out is valid UTF-8, bounded, and fit for a header.
// The input is a name, a NUL, and the content.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "intake/intake.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gbgreg::intake;  // NOLINT(google-build-using-namespace): this function is all there is.
  using gbgreg::is_valid_utf8;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string_view name = bytes.substr(0, bytes.find('\0'));
  const std::string_view content = bytes.substr(std::min(size, name.size() + 1));

  const auto require = [](bool holds) {
    if (!holds) std::abort();
  };
  const std::string safe = safe_filename(name);
  require(is_valid_utf8(safe) && !safe.empty() && safe.size() <= kNameBytesMax && safe != "." && safe != "..");
  require(safe.find_first_of("/\\\"\r\n") == std::string::npos && safe.find('\0') == std::string::npos);
  require(safe_filename(safe) == safe);
  const std::string original = original_filename(bytes);
  require(is_valid_utf8(original) && original.size() <= kOriginalNameBytesMax);

  const FileKind kind = file_kind(content, safe);
  require(kind.media_type.find('/') != std::string::npos && kind.media_type.size() <= 127);
  require(kind.media_type.find_first_of("\r\n\"; ") == std::string::npos);
  const std::string preview = text_preview(content.substr(0, kSampleBytes));
  require(is_valid_utf8(preview) && preview.find('\0') == std::string::npos);
  require(preview.size() <= 4 * kPreviewCharacters);
  return 0;
}

// A ZIP file's directory is looked at without reading beyond it, whatever it says.
#include "zip_directory.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  constexpr gbgreg::jail::ZipBounds kBounds{
      .entries_max = 1'000, .bytes_max = 1'000'000, .ratio_max = 200, .ratio_from_bytes = 1'000};
  gbgreg::jail::ZipChecksums checksums;
  [[maybe_unused]] const auto verdict = gbgreg::jail::check_zip({data, size}, kBounds, checksums);
  return 0;
}

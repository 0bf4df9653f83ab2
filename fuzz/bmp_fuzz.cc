// A BMP is read without reading beyond it, whatever its header says; what comes out has all of its pixels. The bound on
// pixels is not the fuzzer's to reach: images of megapixels would only make it slow.
#include <cstdlib>

#include "look_bmp.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const auto pixels = gbgreg::jail::read_bmp({data, size}, {});
  if (pixels && pixels->bytes.size() != pixels->row_bytes() * pixels->height) std::abort();
  return 0;
}

// Any bytes as a chunked body: cut into pieces or whole, the outcome is the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/body_decoder.h"

namespace {

using namespace gbgreg::net;  // NOLINT(google-build-using-namespace): a program of one file.

struct Decoded {
  std::string body;
  std::size_t consumed = 0;
  bool failed = false;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view bytes, std::size_t piece) {
  static const Options options;
  Head head;
  head.framing = Framing::chunked;
  BodyDecoder decoder(head, options);
  Decoded out;
  std::size_t arrived = 0;
  while (!decoder.done()) {
    const auto step = decoder.decode(bytes.substr(out.consumed, arrived - out.consumed));
    if (!step) {
      out.failed = true;
      out.consumed = 0;  // Where it noticed may differ; that it noticed must not.
      return out;
    }
    if (step->consumed > arrived - out.consumed) std::abort();
    out.body += step->data;
    out.consumed += step->consumed;
    if (decoder.done() || step->consumed > 0) continue;
    if (arrived == bytes.size()) break;
    arrived = std::min(bytes.size(), arrived + piece);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] % 16 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (decode(bytes, piece) != decode(bytes, bytes.size() + 1)) std::abort();
  return 0;
}

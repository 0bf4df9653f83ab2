// Any bytes as the begin of a TLS connection: cut into pieces or whole, the verdict is the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/hello_gate.h"

namespace {

using gbgreg::net::HelloGate;

HelloGate::Verdict judge(std::string_view bytes, std::size_t piece) {
  HelloGate gate(16 * 1024);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const HelloGate::Verdict verdict = gate.take(bytes.substr(at, piece));
    if (verdict != HelloGate::Verdict::pass) return verdict;
  }
  return HelloGate::Verdict::pass;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] % 16 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (judge(bytes, piece) != judge(bytes, bytes.size() + 1)) std::abort();
  return 0;
}

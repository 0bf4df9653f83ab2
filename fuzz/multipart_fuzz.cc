// Whatever the bytes are and wherever they are cut, the parser says the same, and nothing that is not in the body.
// The first byte chooses the size of the pieces.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/multipart.h"

namespace {

using gbgreg::http::MultipartParser;

std::string transcript(std::string_view body, std::size_t piece_bytes) {
  MultipartParser parser("b");
  std::string said;
  bool in_data = false;
  while (!body.empty()) {
    const std::string piece(body.substr(0, piece_bytes));
    body.remove_prefix(piece.size());
    parser.feed(piece);
    while (true) {
      const auto event = parser.next();
      if (!event) return said + "|error " + event.error().message;
      if (*event == MultipartParser::Event::need_more) break;
      if (*event == MultipartParser::Event::data) {
        if (parser.data().empty()) std::abort();
        if (!in_data) said += "|data ";
        said += parser.data();
      } else if (*event == MultipartParser::Event::part_begin) {
        said += "|part " + parser.part().name + "/" + parser.part().filename.value_or("-");
      } else {
        said += *event == MultipartParser::Event::part_end ? "|part end" : "|body end";
      }
      in_data = *event == MultipartParser::Event::data;
    }
  }
  return said + (parser.finish() ? "|ok" : "|unfinished");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto boundary = gbgreg::http::multipart_boundary(bytes);
  if (boundary && (boundary->empty() || boundary->size() > 70)) std::abort();
  if (transcript(bytes, bytes.size() + 1) != transcript(bytes, data[0] % 16 + 1U)) std::abort();
  return 0;
}

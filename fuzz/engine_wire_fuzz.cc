// Any bytes as a worker's answer, cut anywhere: the text is valid UTF-8, and how it was cut makes no difference.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "protocols/engine_wire.h"

namespace {

namespace protocols = gbgreg::protocols;
using gbgreg::Error;
using protocols::engine_wire::Limits;
using protocols::engine_wire::StreamReader;

void check(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::string text;
  bool succeeded;
};

Outcome read(std::string_view body, std::size_t piece_bytes) {
  const Limits limits{.line_bytes_max = 4096, .answer_bytes_max = 65536};
  StreamReader reader(limits);
  std::string text;
  for (std::size_t at = 0; at < body.size() && !reader.done(); at += piece_bytes) {
    gbgreg::llm::Delta delta;
    const bool goes_on = reader.feed(body.substr(at, piece_bytes), delta).has_value();
    text += delta.text;
    check(gbgreg::is_valid_utf8(delta.thinking));
    for (const auto& call : delta.tool_calls) check(gbgreg::is_valid_utf8(call.id + call.name + call.arguments));
    if (!goes_on) break;
  }
  const bool succeeded = reader.finish().has_value();
  check(gbgreg::is_valid_utf8(text));
  return {std::move(text), succeeded};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  const Outcome whole = read(body, body.size() + 1);
  const Outcome cut = read(body, 1 + data[0] % 64U);
  check(whole.succeeded == cut.succeeded);
  check(whole.text == cut.text || !whole.succeeded);
  const auto answer = protocols::engine_wire::read_answer(body);
  check(answer ? gbgreg::is_valid_utf8(answer->delta.text) : !answer.error().message.empty());
  const Error error = protocols::engine_wire::read_error(400 + data[0], body);
  check(!error.code.empty() && !error.message.empty());
  return 0;
}

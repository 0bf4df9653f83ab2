// Any bytes as the lines of an engine's stdout and stderr: what is kept is bounded and printable, and the evidence of a
// placement adds up. The first byte of each line chooses the stream.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "fleet/engine_log.h"

namespace {

using gbgreg::fleet::EngineLog;

constexpr std::size_t kLinesMax = 8;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_text(std::string_view text) {
  check(gbgreg::is_valid_utf8(text));
  for (const char c : text) check(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  EngineLog log(kLinesMax, {"/models"});
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const bool is_stderr = line.starts_with('!');
    if (is_stderr) line.remove_prefix(1);
    const auto word = log.take(is_stderr ? EngineLog::Stream::err : EngineLog::Stream::out, line);
    if (word.state && word.state->progress) check(*word.state->progress >= 0 && *word.state->progress <= 1);
    if (word.log_line != nullptr) check_text(word.log_line->text);
  }
  check(log.lines().size() <= kLinesMax);
  for (const auto& line : log.lines()) check(line.text.size() <= gbgreg::fleet::kLogLineBytesMax);
  check_text(log.last_words());
  const auto placement = log.placement();
  if (placement.gpu_layers && placement.total_layers) check(*placement.gpu_layers <= *placement.total_layers);
  return 0;
}

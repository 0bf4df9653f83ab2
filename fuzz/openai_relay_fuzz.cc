// Any bytes as a worker's stream: cut in any way they come to the same, and what passes is events and nothing else.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "protocols/openai_relay.h"

namespace {

namespace openai = gbgreg::protocols::openai;

void check(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::string out;
  bool succeeded = false;
  bool operator==(const Outcome&) const = default;
};

Outcome relay(std::string_view body, std::size_t piece_bytes, bool is_chat) {
  const std::optional<int> logprobs = is_chat ? std::nullopt : std::optional(2);
  openai::StreamRelay relay(
      {.is_chat = is_chat, .logprobs = logprobs, .created = 42, .line_bytes_max = 4096, .answer_bytes_max = 1 << 20});
  Outcome outcome;
  for (std::size_t at = 0; at < body.size(); at += piece_bytes) {
    if (!relay.feed(body.substr(at, piece_bytes), outcome.out)) break;
  }
  outcome.succeeded = relay.finish().has_value();
  return outcome;
}

void check_stream(std::string_view body, bool is_chat) {
  const Outcome whole = relay(body, std::max<std::size_t>(1, body.size()), is_chat);
  check(whole == relay(body, 1, is_chat));
  check(whole == relay(body, 7, is_chat));
  std::string_view rest = whole.out;
  while (!rest.empty()) {
    check(rest.starts_with("data: "));
    const std::size_t end = rest.find("\n\n");
    check(end != std::string_view::npos && rest.substr(0, end).find('\n') == std::string_view::npos);
    rest.remove_prefix(end + 2);
  }
  if (whole.succeeded) check(whole.out.ends_with("data: [DONE]\n\n"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const bool is_chat : {true, false}) check_stream(body, is_chat);
  for (const openai::RelayOptions& options :
       {openai::RelayOptions{}, openai::RelayOptions{.is_chat = false, .logprobs = 2}}) {
    std::string out;
    const auto relayed = openai::relay_whole(body, options, out);
    check(relayed ? !out.empty() : !relayed.error().message.empty());
  }
  return 0;
}

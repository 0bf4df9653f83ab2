// Any bytes as a request in each of the dialects: what is accepted can be sent on, what is refused reads well.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "protocols/anthropic.h"
#include "protocols/engine_wire.h"
#include "protocols/json_reader.h"
#include "protocols/ollama.h"
#include "protocols/openai.h"
#include "protocols/openai_responses.h"

namespace {

namespace protocols = gbgreg::protocols;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_json(std::string_view text) {
  const auto ignore = [](std::string_view, protocols::JsonValue&) -> gbgreg::Result<void> { return {}; };
  check(gbgreg::is_valid_utf8(text));
  check(protocols::read_json_object(text, {.bytes_max = text.size(), .depth_max = 128}, ignore).has_value());
}

std::string whole(const protocols::openai::SentOn& body) { return body.begin + std::string(body.large) + body.end; }

template <class Asked>
void check_asked(const gbgreg::Result<Asked>& asked) {
  if (asked) {
    check_json(protocols::engine_wire::write_chat_request(asked->request));
    return;
  }
  check(!asked.error().code.empty() && !asked.error().message.empty());
  check_json(protocols::openai::write_error(asked.error()));
  check_json(protocols::anthropic::write_error(asked.error(), "id"));
  std::string line;
  protocols::ollama::write_error(line, asked.error(), "id");
  check_json(line);
}

// An answer says again what was asked, in each of its events: whatever that was, they are lines of JSON.
void check_response(const protocols::openai_responses::Asked& asked) {
  for (const auto& file : asked.files) {
    check(file.message < asked.request.messages.size());
    check(file.offset <= asked.request.messages[file.message].text.size());
  }
  const gbgreg::llm::Delta delta{
      .text = "a", .thinking = "b", .tool_calls = {{.index = 0, .id = "c", .name = "d", .arguments = "e"}}};
  const gbgreg::llm::Answer answer;
  std::string whole;
  protocols::openai_responses::ResponseWriter(asked.echo, {}).whole(whole, delta, answer, {});
  check_json(whole);
  std::string stream;
  protocols::openai_responses::ResponseWriter writer(asked.echo, {});
  writer.begin(stream, answer.notes, {});
  writer.delta(stream, delta, {});
  writer.end(stream, answer, {});
  for (std::string_view rest = stream; !rest.empty();) {
    constexpr std::string_view kData = "\ndata: ";
    const std::size_t end = rest.find("\n\n");
    check(rest.starts_with("event: ") && end != std::string_view::npos);
    const std::string_view event = rest.substr(0, end);
    const std::size_t data = event.find(kData);
    check(data != std::string_view::npos && event.find('\n', data + 1) == std::string_view::npos);
    check_json(event.substr(data + kData.size()));
    rest.remove_prefix(end + 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  protocols::Limits limits;
  limits.image_bytes_max = 4096;
  limits.stops_max = 4;
  limits.tools_max = 4;
  limits.files_max = 2;
  limits.echo_bytes_max = 1024;
  const auto chat = protocols::openai::parse_chat(body, limits);
  check_asked(chat);
  if (chat) check_json(whole(protocols::openai::engine_body("m", chat->fields)));
  const auto completion = protocols::openai::parse_completion(body, limits);
  check_asked(completion);
  if (completion) check_json(whole(protocols::openai::engine_body("m", completion->fields)));
  check_asked(protocols::anthropic::parse_messages(body, limits, protocols::anthropic::For::answer));
  const auto response = protocols::openai_responses::parse_response(body, limits);
  check_asked(response);
  if (response) check_response(*response);
  check_asked(protocols::ollama::parse_chat(body, limits));
  return 0;
}

// Any bytes as a request for embeddings in either dialect, and as what a worker answers to one: what is accepted can be
// sent on and written down, what is refused reads well.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/utf8.h"
#include "protocols/engine_embeddings.h"
#include "protocols/json_reader.h"
#include "protocols/ollama.h"
#include "protocols/ollama_embeddings.h"
#include "protocols/openai.h"
#include "protocols/openai_embeddings.h"

namespace {

namespace llm = gbgreg::llm;
namespace protocols = gbgreg::protocols;
namespace wire = protocols::engine_wire;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_json(std::string_view text) {
  const auto ignore = [](std::string_view, protocols::JsonValue&) -> gbgreg::Result<void> { return {}; };
  check(gbgreg::is_valid_utf8(text));
  check(protocols::read_json_object(text, {.bytes_max = text.size(), .depth_max = 128}, ignore).has_value());
}

void check_error(const gbgreg::Error& error) {
  check(!error.code.empty() && !error.message.empty());
  check_json(protocols::openai::write_error(error));
  std::string line;
  protocols::ollama::write_error(line, error, "id");
  check_json(line);
}

void check_request(const llm::EmbedRequest& request, const protocols::Limits& limits) {
  check(request.inputs.size() <= limits.inputs_max);
  check_json(wire::write_embed_request(request.inputs));
  for (const auto& input : request.inputs) {
    if (const auto* text = std::get_if<std::string>(&input)) check_json(wire::write_tokenize_request(*text));
    if (const auto* tokens = std::get_if<llm::TokenIds>(&input)) {
      check(std::ranges::all_of(*tokens, [](std::int32_t token) { return token >= 0; }));
    }
  }
}

void check_written(const llm::Embeddings& answer, protocols::EmbeddingsWriter&& writer) {
  std::string out;
  writer.begin(out, answer);
  for (std::size_t i = 0; i < answer.vectors.size(); ++i) writer.vector(out, i, answer.vectors[i]);
  writer.end(out, answer);
  check_json(out);
}

void check_answer(std::string_view body, std::size_t count) {
  auto read = wire::read_embeddings(body, count);
  if (!read) return check_error(read.error());
  check(read->vectors.size() == count && read->prompt_tokens >= 0);
  for (const auto& vector : read->vectors) {
    check(!vector.empty() && vector.size() == read->vectors.front().size());
    check(std::ranges::all_of(vector, [](float number) { return std::isfinite(number); }));
  }
  const llm::Embeddings answer{.vectors = std::move(read->vectors), .prompt_tokens = read->prompt_tokens};
  check_written(answer, protocols::openai::EmbeddingsListWriter(protocols::openai::Encoding::numbers));
  check_written(answer, protocols::openai::EmbeddingsListWriter(protocols::openai::Encoding::base64));
  check_written(answer, protocols::ollama::EmbedWriter(protocols::ollama::EmbedForm::several));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  protocols::Limits limits;
  limits.inputs_max = 4;
  limits.input_bytes_max = 64;
  limits.input_tokens_max = 16;
  const auto asked = protocols::openai::parse_embeddings(body, limits);
  if (asked) check(!asked->request.inputs.empty());
  if (asked) check_request(asked->request, limits);
  if (!asked) check_error(asked.error());
  for (const auto form : {protocols::ollama::EmbedForm::several, protocols::ollama::EmbedForm::one}) {
    const auto embed = protocols::ollama::parse_embed(body, limits, form);
    if (embed) check_request(embed->request, limits);
    if (!embed) check_error(embed.error());
  }
  for (const std::size_t count : {1U, 2U}) check_answer(body, count);
  const auto tokens = wire::read_tokens(body);
  if (!tokens) check_error(tokens.error());
  return 0;
}

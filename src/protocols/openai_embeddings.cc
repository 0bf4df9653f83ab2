#include "protocols/openai_embeddings.h"

#include <bit>
#include <string>

#include "protocols/base64.h"
#include "protocols/embed_fields.h"
#include "protocols/json_reader.h"
#include "protocols/json_writer.h"
#include "protocols/request_fields.h"

namespace gbgreg::protocols::openai {
namespace {

constexpr std::string_view kWanted = "a string, an array of strings, an array of tokens, or an array of such arrays";

bool is_empty(const llm::EmbedInput& input) {
  return std::visit([](const auto& content) { return content.empty(); }, input);
}

Result<void> read_tokens(JsonValue& value, EmbedInputs& inputs) {
  if (auto begun = inputs.begin_tokens(); !begun) return begun;
  return value.each_element([&](JsonValue& token) { return inputs.add_token(token); });
}

// What the first element is all of them must be.
Result<void> read_list(JsonValue& value, EmbedInputs& inputs) {
  std::optional<JsonType> type;
  return value.each_element([&](JsonValue& element) -> Result<void> {
    const bool is_first = !type;
    if (is_first) type = element.type();
    if (element.type() != *type) return value.must_be(kWanted);
    switch (*type) {
      case JsonType::text:
        return inputs.add_text(element);
      case JsonType::array:
        return read_tokens(element, inputs);
      case JsonType::number:
        if (auto begun = is_first ? inputs.begin_tokens() : Result<void>{}; !begun) return begun;
        return inputs.add_token(element);
      default:
        return value.must_be(kWanted);
    }
  });
}

Result<void> read_input(JsonValue& value, const Limits& limits, std::vector<llm::EmbedInput>& out) {
  EmbedInputs inputs(limits, out);
  if (value.type() == JsonType::null) return value.skip();
  if (value.type() == JsonType::text) return inputs.add_text(value);
  if (value.type() == JsonType::array) return read_list(value, inputs);
  return value.must_be(kWanted);
}

Result<void> read_encoding(JsonValue& value, Encoding& encoding) {
  std::string_view name;
  if (auto read = value.read_text(name); !read) return read;
  encoding = name == "base64" ? Encoding::base64 : Encoding::numbers;
  if (name.data() == nullptr || name == "base64" || name == "float") return {};
  return value.must_be("\"float\" or \"base64\"");
}

std::unexpected<Error> input_missing(std::string message) {
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = std::move(message),
                               .details_json = R"({"field":"input"})"});
}

std::string little_endian(std::span<const float> numbers) {
  std::string bytes;
  bytes.reserve(numbers.size() * sizeof(float));
  for (const float number : numbers) {
    const auto bits = std::bit_cast<std::uint32_t>(number);
    for (const unsigned shift : {0U, 8U, 16U, 24U}) bytes += static_cast<char>(bits >> shift & 0xFFU);
  }
  return bytes;
}

}  // namespace

Result<EmbeddingsAsked> parse_embeddings(std::string_view body, const Limits& limits) {
  EmbeddingsAsked asked;
  llm::EmbedRequest& request = asked.request;
  std::string model;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "input") return read_input(value, limits, request.inputs);
    if (name == "model") return value.read_text(model, limits.model_bytes_max);
    if (name == "encoding_format") return read_encoding(value, asked.encoding);
    if (name == "dimensions") return read_dimensions(value, request.dimensions);
    if (name == "priority") return read_priority(value, request.priority);
    if (name == "deadline_ms") return value.read_integer(request.deadline_ms, 1, limits.deadline_ms_max);
    return {};
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));

  if (request.inputs.empty()) return input_missing("\"input\" must hold at least one text.");
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    if (is_empty(request.inputs[i])) {
      return input_missing("Input " + std::to_string(i) + " of \"input\" is empty: leave it out.");
    }
  }
  if (!model.empty()) request.model = std::move(model);
  return asked;
}

void EmbeddingsListWriter::begin(std::string& out, const llm::Embeddings&) { out += R"({"object":"list","data":[)"; }

void EmbeddingsListWriter::vector(std::string& out, std::size_t index, std::span<const float> numbers) {
  if (index > 0) out += ',';
  out.append(R"({"object":"embedding","index":)").append(std::to_string(index)).append(R"(,"embedding":)");
  if (encoding_ == Encoding::base64) {
    out += '"';
    append_base64(out, little_endian(numbers));
    out += '"';
  } else {
    append_numbers(out, numbers);
  }
  out += '}';
}

void EmbeddingsListWriter::end(std::string& out, const llm::Embeddings& answer) {
  out += R"(],"model":)";
  append_json_text(out, answer.notes.model);
  out += R"(,"usage":)";
  JsonWriter json(out);
  json.open_object();
  json.key("prompt_tokens").number(answer.prompt_tokens);
  json.key("total_tokens").number(answer.prompt_tokens);
  json.close_object();
  out += '}';
}

}  // namespace gbgreg::protocols::openai

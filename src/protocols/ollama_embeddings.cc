#include "protocols/ollama_embeddings.h"

#include <cmath>
#include <string>

#include "protocols/embed_fields.h"
#include "protocols/json_reader.h"
#include "protocols/json_writer.h"
#include "protocols/keep_alive.h"
#include "protocols/native.h"
#include "protocols/request_fields.h"

namespace gbgreg::protocols::ollama {
namespace {

// An empty text alone asks for nothing; among others it is a text like them.
Result<void> read_text(JsonValue& value, EmbedInputs& inputs, std::vector<llm::EmbedInput>& out) {
  if (auto added = inputs.add_text(value); !added) return added;
  if (std::get<std::string>(out.back()).empty()) out.clear();
  return {};
}

Result<void> read_texts(JsonValue& value, const Limits& limits, EmbedForm form, std::vector<llm::EmbedInput>& out) {
  EmbedInputs inputs(limits, out);
  if (value.type() == JsonType::null) return value.skip();
  if (value.type() == JsonType::text) return read_text(value, inputs, out);
  if (form == EmbedForm::one) return value.must_be("a string");
  if (value.type() != JsonType::array) return value.must_be("a string or an array of strings");
  return value.each_element([&](JsonValue& element) { return inputs.add_text(element); });
}

}  // namespace

Result<EmbedAsked> parse_embed(std::string_view body, const Limits& limits, EmbedForm form) {
  const std::string_view input = form == EmbedForm::several ? "input" : "prompt";
  llm::EmbedRequest request;
  llm::Request sampled;  // Its options are checked as everywhere, and mean nothing here.
  std::string model, name;
  std::optional<bool> truncate;
  std::optional<std::chrono::milliseconds> keep_alive;
  auto read_field = [&](std::string_view field, JsonValue& value) -> Result<void> {
    if (field == input) return read_texts(value, limits, form, request.inputs);
    if (field == "model") return value.read_text(model, limits.model_bytes_max);
    if (field == "name") return value.read_text(name, limits.model_bytes_max);
    if (field == "truncate") return value.read_boolean(truncate);
    if (field == "dimensions") return read_dimensions(value, request.dimensions);
    if (field == "options") return read_options(value, limits, sampled);
    if (field == "keep_alive") return read_keep_alive(value, keep_alive);
    if (field == "priority") return read_priority(value, request.priority);
    if (field == "deadline_ms") return value.read_integer(request.deadline_ms, 1, limits.deadline_ms_max);
    return {};
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));

  if (model.empty()) model = std::move(name);
  if (request.inputs.empty() && model.empty()) {
    return fail(Kind::malformed, "prompt_missing", "Put the text into \"" + std::string(input) + "\".");
  }
  if (!model.empty()) request.model = std::move(model);
  request.too_long = truncate.value_or(true) ? llm::TooLong::cut : llm::TooLong::refuse;
  request.ignored_options = std::move(sampled.ignored_options);
  return EmbedAsked{.request = std::move(request), .leaves_at_once = keep_alive == std::chrono::milliseconds{0}};
}

void EmbedWriter::begin(std::string& out, const llm::Embeddings& answer) {
  out += R"({"model":)";
  append_json_text(out, answer.notes.model);
  out += form_ == EmbedForm::several ? R"(,"embeddings":[)" : R"(,"embedding":)";
}

void EmbedWriter::vector(std::string& out, std::size_t index, std::span<const float> numbers) {
  if (index > 0) out += ',';
  append_numbers(out, numbers);
}

void EmbedWriter::end(std::string& out, const llm::Embeddings& answer) {
  if (form_ == EmbedForm::several) {
    out += ']';
  } else if (answer.vectors.empty()) {
    out += "[]";
  }
  out.append(R"(,"total_duration":)").append(std::to_string(std::llround(answer.notes.total_ms * 1e6)));
  out.append(R"(,"load_duration":)").append(std::to_string(answer.load.count()));
  out.append(R"(,"prompt_eval_count":)").append(std::to_string(answer.prompt_tokens));
  out += R"(,"gbgreg":)";
  JsonWriter json(out);
  native::write_notes(json, answer.notes);
  out += '}';
}

}  // namespace gbgreg::protocols::ollama

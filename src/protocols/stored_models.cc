#include "protocols/stored_models.h"

#include <algorithm>

#include "protocols/json_reader.h"
#include "protocols/json_writer.h"
#include "protocols/ollama_models.h"

namespace gbgreg::protocols {
namespace {

constexpr std::size_t kShortDigestBytes = 12;  // As many as Ollama shows.
constexpr std::size_t kSourceBytesMax = 2048;  // A name, or an address.

bool is_sha256(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string_view stage_name(PullStep::Stage stage) {
  switch (stage) {
    case PullStep::Stage::manifest:
      return "manifest";
    case PullStep::Stage::blob:
      return "fetching";
    case PullStep::Stage::verifying:
      return "verifying";
    case PullStep::Stage::writing:
      return "writing";
    case PullStep::Stage::done:
      return "done";
  }
  return "done";
}

void write_stored_details(JsonWriter& json, const StoredModel& model) {
  json.key("details").open_object();
  json.key("parent_model").text("");
  json.key("format").text("gguf");
  json.key("family").text(model.family);
  json.key("families").open_array();
  if (!model.family.empty()) json.text(model.family);
  if (model.sees_images) json.text("clip");
  json.close_array();
  json.key("parameter_size").text(model.parameter_size);
  json.key("quantization_level").text(model.quantization);
  json.close_object();
}

void write_stored_entry(JsonWriter& json, std::string_view name, const StoredModel& model) {
  json.key("name").text(name);
  json.key("model").text(name);
  json.key("modified_at").text(rfc3339(model.modified));
  json.key("size").number(model.size_bytes);
  json.key("digest").text(model.digest);
  write_stored_details(json, model);
}

}  // namespace

Result<PullAsked> parse_pull(std::string_view body, const Limits& limits) {
  PullAsked asked;
  std::optional<bool> stream;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "model" || (name == "name" && asked.model.empty()))
      return value.read_text(asked.model, kSourceBytesMax);
    if (name == "stream") return value.read_boolean(stream);
    return {};
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));
  if (asked.model.empty()) return fail(Kind::malformed, "invalid_field", "\"model\" must name a model.");
  asked.stream = stream.value_or(true);
  return asked;
}

namespace ollama {

std::string write_tags(std::span<const llm::BackendView> backends, std::span<const StoredModel> stored, IsSame is_same,
                       WallTime now) {
  std::string out;
  JsonWriter json(out);
  std::vector<bool> is_told(stored.size(), false);
  json.open_object();
  json.key("models").open_array();
  for (const auto* backend : models_of(backends)) {
    json.open_object();
    bool is_stored = false;
    for (std::size_t i = 0; i < stored.size() && !is_stored; ++i) {
      // A role may call a file of its own what something in a store is called.
      const auto& roles = stored[i].roles;
      if (!is_same(stored[i].name, backend->model) || std::ranges::find(roles, backend->role) == roles.end()) continue;
      write_stored_entry(json, backend->model, stored[i]);
      is_stored = is_told[i] = true;
    }
    if (!is_stored) write_entry(json, *backend, now);
    json.close_object();
  }
  for (std::size_t i = 0; i < stored.size(); ++i) {
    if (is_told[i]) continue;
    json.open_object();
    write_stored_entry(json, stored[i].name, stored[i]);
    json.close_object();
  }
  json.close_array();
  json.close_object();
  return out;
}

std::string write_model(const StoredModel& model) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  if (!model.license.empty()) json.key("license").text(model.license);
  json.key("modelfile").text("# On the disk as " + model.name + "; no role of gbgreg uses it.\n");
  json.key("parameters").text(model.parameters);
  json.key("template").text(model.template_text);
  if (!model.system.empty()) json.key("system").text(model.system);
  write_stored_details(json, model);
  json.key("model_info").open_object();
  if (!model.family.empty()) {
    json.key("general.architecture").text(model.family);
    if (model.context_tokens) json.text_key(model.family + ".context_length").number(*model.context_tokens);
    if (model.embedding_numbers) json.text_key(model.family + ".embedding_length").number(*model.embedding_numbers);
  }
  json.close_object();
  json.key("capabilities").open_array();
  json.text(model.embeds ? "embedding" : "completion");
  if (!model.embeds) json.text("tools");
  if (model.sees_images) json.text("vision");
  json.close_array();
  json.key("modified_at").text(rfc3339(model.modified));
  json.close_object();
  return out;
}

void write_pull_step(std::string& out, const PullStep& step) {
  JsonWriter json(out);
  json.open_object();
  switch (step.stage) {
    case PullStep::Stage::manifest:
      json.key("status").text("pulling manifest");
      break;
    case PullStep::Stage::blob:
      json.key("status").text("pulling " +
                              (is_sha256(step.label) ? step.label.substr(0, kShortDigestBytes) : step.label));
      json.key("digest").text(is_sha256(step.label) ? "sha256:" + step.label : step.label);
      if (step.total_bytes) json.key("total").number(*step.total_bytes);
      // As Ollama, which leaves out what is nothing.
      if (step.completed_bytes > 0) json.key("completed").number(step.completed_bytes);
      break;
    case PullStep::Stage::verifying:
      json.key("status").text("verifying sha256 digest");
      break;
    case PullStep::Stage::writing:
      json.key("status").text("writing manifest");
      break;
    case PullStep::Stage::done:
      json.key("status").text("success");
      break;
  }
  json.close_object();
  out += '\n';
}

}  // namespace ollama

namespace native {

std::string write_models(std::span<const StoredModel> stored) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("models").open_array();
  for (const StoredModel& model : stored) {
    json.open_object();
    json.key("name").text(model.name);
    json.key("digest").text(model.digest);
    json.key("size_bytes").number(model.size_bytes);
    json.key("modified_at").text(rfc3339(model.modified));
    json.key("family").text(model.family);
    json.key("parameter_size").text(model.parameter_size);
    json.key("quantization").text(model.quantization);
    json.key("files").number(model.files);
    json.key("sees_images").boolean(model.sees_images);
    json.key("store").text(model.is_own ? "own" : "ollama");
    json.key("roles").open_array();
    for (const std::string& role : model.roles) json.text(role);
    json.close_array();
    json.close_object();
  }
  json.close_array();
  json.close_object();
  return out;
}

void write_pull_step(std::string& out, const PullStep& step) {
  JsonWriter json(out);
  json.open_object();
  json.key("stage").text(stage_name(step.stage));
  if (step.stage == PullStep::Stage::blob) {
    json.key("blob").text(step.label);
    json.key("completed_bytes").number(step.completed_bytes);
    json.key("total_bytes").number_or_null(step.total_bytes);
  }
  json.close_object();
  out += '\n';
}

}  // namespace native

}  // namespace gbgreg::protocols

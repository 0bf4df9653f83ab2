#include "protocols/server_models.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "protocols/json_reader.h"

namespace gbgreg::protocols {
namespace {

constexpr int kOllamaContextTokens = 4096;  // What it gives a model whose file sets none.

JsonBounds bounds_of(std::string_view body) {
  return {.bytes_max = body.size(), .depth_max = ServerModels::kJsonDepthMax, .what = "The server's list"};
}

bool is_printable(std::string_view name) {
  return !name.empty() && name.size() <= ServerModels::kNameBytesMax &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; });
}

// Numbers that cannot be one are passed over: they say nothing, and are no reason to doubt the rest.
Result<void> read_context(JsonValue& value, std::optional<int>& tokens) {
  if (value.type() != JsonType::number) return {};
  std::optional<double> number;
  if (auto read = value.read_number(number, -1e300, 1e300); !read) return read;
  if (number && *number >= 1 && *number <= ServerModels::kContextTokensMax) tokens = static_cast<int>(*number);
  return {};
}

Result<void> read_model(JsonValue& value, std::string_view name_key, ServerModel& model) {
  if (value.type() != JsonType::object) return {};
  std::optional<int> trained_for;
  auto read_meta = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == "n_ctx") return read_context(field, model.context_tokens);
    if (name == "n_ctx_train") return read_context(field, trained_for);
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
    if (name == name_key && field.type() == JsonType::text) return field.read_text(model.name);
    // vLLM's and SGLang's word for it, and those of others.
    if (name == "max_model_len" || name == "context_length" || name == "context_window") {
      return read_context(field, model.context_tokens);
    }
    if (name == "meta" && field.type() == JsonType::object) return field.each_field(read_meta);
    return {};
  };
  auto read = value.each_field(read_field);
  if (!model.context_tokens) model.context_tokens = trained_for;
  return read;
}

ServerModels read_list(std::string_view body, std::string_view list_key, std::string_view name_key) {
  ServerModels told;
  auto read_element = [&](JsonValue& value) -> Result<void> {
    ServerModel model;
    if (auto read = read_model(value, name_key, model); !read) return read;
    if (told.models.size() < ServerModels::kModelsMax && is_printable(model.name)) {
      told.models.push_back(std::move(model));
    }
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name != list_key || value.type() != JsonType::array) return {};
    told.is_told = true;
    return value.each_element(read_element);
  };
  if (!read_json_object(body, bounds_of(body), read_field)) return {};
  return told;
}

// Of "stop \"<|eot|>\"\nnum_ctx 8192", each a line.
std::optional<int> num_ctx_of(std::string_view parameters) {
  constexpr std::string_view kName = "num_ctx";
  while (!parameters.empty()) {
    const std::size_t end = std::min(parameters.find('\n'), parameters.size());
    std::string_view line = parameters.substr(0, end);
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    if (!line.starts_with(kName)) continue;
    line.remove_prefix(kName.size());
    while (line.starts_with(' ') || line.starts_with('\t')) line.remove_prefix(1);
    int tokens = 0;
    const auto read = std::from_chars(line.data(), line.data() + line.size(), tokens);
    if (read.ec == std::errc{} && tokens >= 1 && tokens <= ServerModels::kContextTokensMax) return tokens;
  }
  return std::nullopt;
}

std::string_view without_latest(std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return name;
}

}  // namespace

ServerModels read_openai_list(std::string_view body) { return read_list(body, "data", "id"); }

ServerModels read_ollama_list(std::string_view body) { return read_list(body, "models", "name"); }

std::optional<int> read_ollama_context(std::string_view body) {
  std::string parameters;
  std::optional<int> trained_for;
  auto read_info = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (!name.ends_with(".context_length")) return {};
    return read_context(value, trained_for);
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "parameters" && value.type() == JsonType::text) return value.read_text(parameters);
    if (name == "model_info" && value.type() == JsonType::object) return value.each_field(read_info);
    return {};
  };
  if (!read_json_object(body, bounds_of(body), read_field)) return std::nullopt;
  const std::optional<int> set = num_ctx_of(parameters);
  if (!set && !trained_for) return std::nullopt;
  return std::min(set.value_or(kOllamaContextTokens), trained_for.value_or(ServerModels::kContextTokensMax));
}

std::optional<int> read_llama_context(std::string_view body) {
  std::optional<int> tokens;
  auto read_setting = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name != "n_ctx") return {};
    return read_context(value, tokens);
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name != "default_generation_settings" || value.type() != JsonType::object) return {};
    return value.each_field(read_setting);
  };
  if (!read_json_object(body, bounds_of(body), read_field)) return std::nullopt;
  return tokens;
}

bool is_ollama_name(std::string_view listed, std::string_view asked) {
  const auto is_same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::ranges::equal(without_latest(listed), without_latest(asked), is_same);
}

}  // namespace gbgreg::protocols

#include "models/manifest.h"

#include <algorithm>
#include <boost/json.hpp>

#include "storage/blob_store.h"

namespace gbgreg::models {
namespace {

namespace json = boost::json;

constexpr std::size_t kMediaTypeBytesMax = 200;
constexpr std::size_t kWordBytesMax = 100;
constexpr std::size_t kParamsBytesMax = 64 * 1024;

std::unexpected<Error> bad(std::string why) {
  return fail(Kind::backend_failed, "bad_manifest",
              "The manifest of this model cannot be understood: " + why +
                  ". Look whether the name is right, or whether the model is of a kind that only Ollama runs.");
}

const json::object* object_at(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  return value == nullptr ? nullptr : value->if_object();
}

std::string_view text_at(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

// Absent when it is no whole number, or negative.
std::optional<std::uint64_t> number_at(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = value->if_uint64()) return *number;
  if (const auto* number = value->if_int64(); number != nullptr && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  return std::nullopt;
}

bool is_plain(std::string_view text, std::size_t bytes_max) {
  return text.size() <= bytes_max && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

Result<Layer> read_layer(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return bad("a layer is no object");
  Layer layer{.media_type = std::string(text_at(*object, "mediaType")),
              .sha256 = sha256_of_digest(text_at(*object, "digest"))};
  if (!is_plain(layer.media_type, kMediaTypeBytesMax)) return bad("a layer has no media type that could be one");
  if (layer.sha256.empty()) return bad("a layer's digest is no SHA-256");
  const auto size = number_at(*object, "size");
  if (!size || *size > kLayerBytesMax) return bad("a layer's size is none, or more than 4 TiB");
  layer.size_bytes = *size;
  return layer;
}

json::object layer_object(const Layer& layer) {
  return {{"mediaType", layer.media_type}, {"digest", "sha256:" + layer.sha256}, {"size", layer.size_bytes}};
}

std::optional<json::object> parse_object(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) return std::nullopt;
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

// Only what can be shown anywhere.
std::string word_at(const json::object& from, std::string_view key) {
  const std::string_view text = text_at(from, key);
  return is_plain(text, kWordBytesMax) ? std::string(text) : std::string();
}

}  // namespace

std::vector<Layer> Manifest::of_type(std::string_view media_type) const {
  std::vector<Layer> found;
  std::ranges::copy_if(layers, std::back_inserter(found),
                       [&](const Layer& layer) { return layer.media_type == media_type; });
  return found;
}

std::vector<Layer> Manifest::blobs() const {
  std::vector<Layer> each;
  const auto add = [&](const Layer& layer) {
    if (layer.sha256.empty() || std::ranges::find(each, layer.sha256, &Layer::sha256) != each.end()) return;
    each.push_back(layer);
  };
  for (const Layer& layer : layers) add(layer);
  add(config);
  return each;
}

std::uint64_t Manifest::size_bytes() const {
  std::uint64_t sum = 0;
  for (const Layer& layer : blobs()) sum += layer.size_bytes;
  return sum;
}

Result<Manifest> parse_manifest(std::string_view text) {
  if (text.size() > kManifestBytesMax) return bad("it has more than " + std::to_string(kManifestBytesMax) + " bytes");
  const auto object = parse_object(text, kManifestBytesMax);
  if (!object) return bad("it is no JSON object");
  if (number_at(*object, "schemaVersion") != 2) return bad("its schemaVersion is not 2");
  if (object->contains("manifests")) return bad("it is a list of manifests for several machines");
  const json::value* layers = object->if_contains("layers");
  if (layers == nullptr || !layers->is_array()) return bad("it has no layers");
  if (layers->get_array().size() > kLayersMax) return bad("it has more than " + std::to_string(kLayersMax) + " layers");
  Manifest manifest;
  if (object_at(*object, "config") != nullptr) {
    auto config = read_layer(object->at("config"));
    if (!config) return std::unexpected(std::move(config.error()));
    manifest.config = std::move(*config);
  }
  for (const json::value& each : layers->get_array()) {
    auto layer = read_layer(each);
    if (!layer) return std::unexpected(std::move(layer.error()));
    // Two sizes of the same bytes: one is a lie.
    for (const Layer& other : manifest.layers) {
      if (other.sha256 == layer->sha256 && other.size_bytes != layer->size_bytes) return bad("a blob has two sizes");
    }
    manifest.layers.push_back(std::move(*layer));
  }
  if (manifest.of_type(kModelType).empty()) return bad("it names no GGUF model");
  return manifest;
}

std::string write_manifest(const Manifest& manifest) {
  json::array layers;
  for (const Layer& layer : manifest.layers) layers.push_back(layer_object(layer));
  json::object object{{"schemaVersion", 2}, {"mediaType", kManifestType}};
  object["config"] = layer_object(manifest.config);
  object["layers"] = std::move(layers);
  return json::serialize(object);
}

std::string sha256_of_digest(std::string_view digest) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (!digest.starts_with(kAlgorithm)) return {};
  std::string hex(digest.substr(kAlgorithm.size()));
  for (char& c : hex) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  return storage::is_sha256(hex) ? hex : std::string();
}

ModelConfig parse_config(std::string_view text) {
  const auto object = parse_object(text, kTextBytesMax);
  if (!object) return {};
  return {.family = word_at(*object, "model_family"),
          .parameter_size = word_at(*object, "model_type"),
          .quantization = word_at(*object, "file_type")};
}

std::string write_config(const ModelConfig& config) {
  const json::array families = config.family.empty() ? json::array() : json::array{json::string(config.family)};
  return json::serialize(json::object{{"model_format", "gguf"},
                                      {"model_family", config.family},
                                      {"model_families", families},
                                      {"model_type", config.parameter_size},
                                      {"file_type", config.quantization},
                                      {"architecture", "amd64"},
                                      {"os", "linux"}});
}

std::string params_text(std::string_view text) {
  const auto object = parse_object(text, kTextBytesMax);
  if (!object) return {};
  std::string out;
  const auto add = [&](std::string_view key, const json::value& value) {
    if (out.size() > kParamsBytesMax) return;
    if (!out.empty()) out += '\n';
    out.append(key).append(" ").append(json::serialize(value));
  };
  for (const auto& [key, value] : *object) {
    if (!value.is_array()) add(key, value);
    if (value.is_array()) {
      for (const json::value& each : value.get_array()) add(key, each);
    }
  }
  return out;
}

}  // namespace gbgreg::models

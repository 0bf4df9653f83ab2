// What a model is made of: a manifest names its blobs by their SHA-256. Pure; any thread.
//
// The form is Ollama's, which is Docker's, version 2. A model's layers are its weights (for a sharded model one a
// shard, in their order), perhaps a projector, and texts: template, system prompt, parameters, licences.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace gbgreg::models {

inline constexpr std::size_t kManifestBytesMax = 1024 * 1024;
inline constexpr std::size_t kLayersMax = 2000;
inline constexpr std::uint64_t kLayerBytesMax = std::uint64_t{1} << 42;  // 4 TiB.
inline constexpr std::uint64_t kTextBytesMax = 1024 * 1024;              // Of a layer that is read as text.

inline constexpr std::string_view kManifestType = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kConfigType = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kModelType = "application/vnd.ollama.image.model";
inline constexpr std::string_view kProjectorType = "application/vnd.ollama.image.projector";
inline constexpr std::string_view kAdapterType = "application/vnd.ollama.image.adapter";
inline constexpr std::string_view kTemplateType = "application/vnd.ollama.image.template";
inline constexpr std::string_view kSystemType = "application/vnd.ollama.image.system";
inline constexpr std::string_view kParamsType = "application/vnd.ollama.image.params";
inline constexpr std::string_view kLicenseType = "application/vnd.ollama.image.license";

struct Layer {
  std::string media_type = {};
  std::string sha256 = {};  // 64 lower-case hexadecimal digits.
  std::uint64_t size_bytes = 0;

  bool operator==(const Layer&) const = default;
};

struct Manifest {
  Layer config = {};
  std::vector<Layer> layers = {};

  bool operator==(const Manifest&) const = default;

  std::vector<Layer> of_type(std::string_view media_type) const;
  // Each blob once, the config too.
  std::vector<Layer> blobs() const;
  std::uint64_t size_bytes() const;
};

// Takes any bytes. Errors: backend_failed bad_manifest, with what is wrong in the detail.
Result<Manifest> parse_manifest(std::string_view json);
std::string write_manifest(const Manifest& manifest);

// "sha256:" and 64 hexadecimal digits to the digits, in lower case; empty for anything else.
std::string sha256_of_digest(std::string_view digest);

// What the config blob says of a model; empty where it says nothing. Takes any bytes.
struct ModelConfig {
  std::string family = {};          // "llama"
  std::string parameter_size = {};  // "8.0B"
  std::string quantization = {};    // "Q4_K_M"
};
ModelConfig parse_config(std::string_view json);
std::string write_config(const ModelConfig& config);

// Ollama's params layer as its text: "stop \"<|eot|>\"\nnum_ctx 4096". Takes any bytes; empty when they are not JSON.
std::string params_text(std::string_view json);

}  // namespace gbgreg::models

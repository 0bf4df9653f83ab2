// A folder of models in Ollama's layout, to be read and never written:
//
//   <root>/manifests/HOST/NAMESPACE/MODEL/TAG   a manifest
//   <root>/blobs/sha256-HEX                     what it names
//
// It may be another user's, of which only a part can be read, and anything may lie in it: what is no model is passed
// over. Blocking, but only for looks at small files. Any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "models/manifest.h"
#include "models/name.h"

namespace gbgreg::models {

inline constexpr std::size_t kModelsListedMax = 10'000;

struct Stored {
  Name name = {};
  Manifest manifest = {};
  std::string digest = {};  // SHA-256 of the manifest, as Ollama says it.
  WallTime modified = {};
};

class Store {
 public:
  explicit Store(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }

  // In the order of their names. What cannot be read or is no manifest is left out.
  std::vector<Stored> list() const;

  // Letters of another case will do where no name is the very same. Errors: not_found model_not_stored, forbidden
  // model_not_readable (its manifest may not be read), backend_failed bad_manifest.
  Result<Stored> find(const Name& name) const;

  std::filesystem::path manifest_path(const Name& name) const;
  // The one place where a digest becomes a path; `sha256` is 64 hexadecimal digits.
  std::filesystem::path blob_path(const std::string& sha256) const;
  // A file of the right size that we may read.
  bool has(const Layer& layer) const;
  // The text of a small layer, as valid UTF-8; empty when it cannot be read.
  std::string text(const Layer& layer) const;
  ModelConfig config(const Manifest& manifest) const;

 private:
  Result<Stored> read(const Name& name) const;

  std::filesystem::path root_;
};

// A whole small file. Errors: not_found, forbidden (it may not be read), too_large.
Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t bytes_max);

}  // namespace gbgreg::models

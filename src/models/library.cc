#include "models/library.h"

#include <unistd.h>

#include <algorithm>

namespace gbgreg::models {
namespace {

namespace fs = std::filesystem;

constexpr const char* kServiceFolder = "/usr/share/ollama/.ollama/models";

std::unexpected<Error> incomplete(const Name& name, const fs::path& blob) {
  return fail(Kind::unavailable, "model_incomplete",
              "The model " + short_name(name) +
                  " is not whole: a part of it is missing, of another size, or not readable by the user that runs "
                  "gbgreg. Fetch it again: gbgreg models pull " +
                  short_name(name),
              blob.string());
}

}  // namespace

Library::Library(const Options& options, storage::Disk& disk) : own_(options.folder, disk) {
  for (const fs::path& folder : options.other_folders) others_.emplace_back(folder);
}

std::vector<Shown> Library::list() const {
  std::vector<Shown> all;
  const auto add = [&](const Store& store, bool is_own) {
    for (Stored& stored : store.list()) {
      const auto is_it = [&](const Shown& shown) { return shown.stored.name == stored.name; };
      if (std::ranges::any_of(all, is_it)) continue;
      Shown shown{.stored = std::move(stored), .is_own = is_own};
      shown.config = store.config(shown.stored.manifest);
      all.push_back(std::move(shown));
    }
  };
  add(own_.store(), true);
  for (const Store& store : others_) add(store, false);
  std::ranges::sort(all, {}, [](const Shown& shown) { return short_name(shown.stored.name); });
  return all;
}

Result<Library::Found> Library::look(const Name& name) const {
  auto own = own_.store().find(name);
  if (own) return Found{.stored = std::move(*own), .store = &own_.store()};
  Error error = std::move(own.error());
  for (const Store& store : others_) {
    auto found = store.find(name);
    if (found) return Found{.stored = std::move(*found), .store = &store};
    // That it may not be read says more than that it is not elsewhere.
    if (error.kind == Kind::not_found) error = std::move(found.error());
  }
  return std::unexpected(std::move(error));
}

Result<Shown> Library::find(const Name& name) const {
  auto found = look(name);
  if (!found) return std::unexpected(std::move(found.error()));
  ModelConfig config = found->store->config(found->stored.manifest);
  return Shown{
      .stored = std::move(found->stored), .is_own = found->store == &own_.store(), .config = std::move(config)};
}

Result<ModelFiles> Library::files(std::string_view text) const {
  const auto name = parse_name(text);
  if (!name) return std::unexpected(name.error());
  const auto found = look(*name);
  if (!found) return std::unexpected(found.error());
  const Manifest& manifest = found->stored.manifest;
  if (!manifest.of_type(kAdapterType).empty()) {
    return fail(Kind::refused, "model_not_supported",
                "The model " + short_name(*name) +
                    " has an adapter, which cannot be used yet. Choose a model that is "
                    "merged with it.");
  }
  const auto weights = manifest.of_type(kModelType);
  const auto projectors = manifest.of_type(kProjectorType);
  for (const auto& layers : {weights, projectors}) {
    for (const Layer& layer : layers) {
      if (!found->store->has(layer)) return incomplete(*name, found->store->blob_path(layer.sha256));
    }
  }
  ModelFiles files;
  if (!projectors.empty()) files.projector = found->store->blob_path(projectors.front().sha256);
  if (weights.size() == 1) {
    files.model = found->store->blob_path(weights.front().sha256);
    return files;
  }
  auto first = own_.link_shards(found->stored, *found->store);
  if (!first) return std::unexpected(std::move(first.error()));
  files.model = std::move(*first);
  return files;
}

const Store& Library::store_of(const Shown& shown) const {
  if (shown.is_own) return own_.store();
  const auto has_it = [&](const Store& store) {
    std::error_code unknown;
    return fs::exists(store.manifest_path(shown.stored.name), unknown);
  };
  const auto found = std::ranges::find_if(others_, has_it);
  return found == others_.end() ? own_.store() : *found;
}

std::string Library::text(const Shown& shown, std::string_view media_type) const {
  const auto layers = shown.stored.manifest.of_type(media_type);
  return layers.empty() ? std::string() : store_of(shown).text(layers.front());
}

fs::path Library::first_file(const Shown& shown) const {
  const auto weights = shown.stored.manifest.of_type(kModelType);
  return weights.empty() ? fs::path() : store_of(shown).blob_path(weights.front().sha256);
}

Result<void> Library::remove(const Name& name) const {
  auto found = look(name);
  if (!found) return std::unexpected(std::move(found.error()));
  if (found->store == &own_.store()) return own_.remove(found->stored.name);
  return fail(Kind::forbidden, "not_ours",
              "The model " + short_name(found->stored.name) +
                  " is in a folder of Ollama's, which gbgreg only reads. Remove it there: ollama rm " +
                  short_name(found->stored.name));
}

std::vector<fs::path> usual_folders(const std::string& ollama_models, const fs::path& home) {
  std::vector<fs::path> folders;
  for (const fs::path& folder : {fs::path(ollama_models), home / ".ollama" / "models", fs::path(kServiceFolder)}) {
    const bool is_readable = !folder.empty() && ::access((folder / "manifests").c_str(), R_OK | X_OK) == 0;
    if (is_readable && std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
  }
  return folders;
}

}  // namespace gbgreg::models

// All the models on this machine: our own store, and folders of Ollama's that are used in place, without copying.
//
// This is the room's front door; `name.h` says what a model is called, `pull.h` how it gets here. The room knows
// nothing of HTTP routes, of workers or of roles. Blocking, for looks at small files. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/options.h"
#include "models/own_store.h"

namespace gbgreg::models {

// What an engine is started with.
struct ModelFiles {
  std::filesystem::path model = {};      // Of a sharded model the first one; the others lie beside it.
  std::filesystem::path projector = {};  // Empty when there is none.
};

struct Shown {
  Stored stored = {};
  bool is_own = false;  // Else it is another's, and not ours to remove.
  ModelConfig config = {};
};

class Library {
 public:
  // The disk must outlive this.
  Library(const Options& options, storage::Disk& disk);

  const OwnStore& own() const { return own_; }

  // Each name once; our own store goes before the others, and these in their order.
  std::vector<Shown> list() const;
  // Errors: not_found model_not_stored; forbidden model_not_readable; backend_failed bad_manifest.
  Result<Shown> find(const Name& name) const;
  // The same, with the files; `name` is as a role has it. Errors: those of find() and parse_name(); unavailable
  // model_incomplete (a blob is missing or may not be read); refused model_not_supported (it has an adapter).
  Result<ModelFiles> files(std::string_view name) const;
  // A small layer as text: template, parameters, licence.
  std::string text(const Shown& shown, std::string_view media_type) const;
  // Of the weights, for those who read the header; empty when it cannot be found.
  std::filesystem::path first_file(const Shown& shown) const;

  // Errors: not_found; forbidden not_ours (it is in a folder of Ollama's); those of OwnStore::remove.
  Result<void> remove(const Name& name) const;

 private:
  struct Found {
    Stored stored;
    const Store* store;
  };
  Result<Found> look(const Name& name) const;
  const Store& store_of(const Shown& shown) const;

  OwnStore own_;
  std::vector<Store> others_;
};

// Where Ollama keeps its models, of those folders that we may read: $OLLAMA_MODELS, ~/.ollama/models, and that of its
// service.
std::vector<std::filesystem::path> usual_folders(const std::string& ollama_models, const std::filesystem::path& home);

}  // namespace gbgreg::models
